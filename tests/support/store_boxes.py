"""The store under test with its broker, its clock and access to its keys."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import redis

from engine.run.states import FINAL_RUN
from engine.store.addresses import owner_of, split_lane
from engine.store.base import BatchRef, ChordSpec, generation_key
from engine.store.record import ChainState, Record, unpack
from engine.store.redis import RedisStore
from engine.store.spec import unpack_chord
from engine.testing import PREFIX, TEMPLATE, Clock, Message

LEASE_MS = 10_000

# All that is kept of a run, in one call.
LOOK = r"""#!lua flags=no-writes
local S, call = 'swarm:s:', redis.call
local gen = call('GET', S .. 'p:' .. ARGV[1]) or '0'
local key = S .. 'r:' .. ARGV[1] .. ':' .. gen
local fields = call('HGETALL', key)
local logs, results, queues = {}, {}, {}
for i = 1, #fields, 2 do
  local what, a = string.sub(fields[i], 1, 2), string.sub(fields[i], 3)
  if what == 'c:' then logs[#logs + 1] = {a, call('GET', key .. ':l:' .. a) or ''} end
  if what == 'k:' then results[#results + 1] = {a, call('HGETALL', key .. ':k:' .. a)} end
end
for i, q in ipairs(call('SMEMBERS', S .. 'queues')) do
  queues[i] = {q, call('ZRANGE', S .. 'd:' .. q, 0, -1, 'WITHSCORES'),
    call('LRANGE', 'swarm:q:' .. q, 0, -1)}
end
local timers = call('ZRANGE', S .. 't', 0, -1, 'WITHSCORES')
for _, v in ipairs(call('ZRANGE', S .. 't:run', 0, -1, 'WITHSCORES')) do
  timers[#timers + 1] = v
end
return {fields, logs, results, queues, call('SMEMBERS', key .. ':h'),
  call('ZRANGE', S .. 'leases', 0, -1, 'WITHSCORES'), call('HGETALL', S .. 'again'), timers, gen}
"""


@dataclass
class ChordView:
    """A chord as the store keeps it."""

    spec: ChordSpec
    next: int
    outstanding: int
    why: str | None
    settled: dict[int, tuple[str, bytes | None, bytes | None]]
    marks: dict[str, tuple[str, str, int]]
    """Span -> running, done, free or broken; nonce; cursor."""


@dataclass
class View:
    """All that the store keeps of one run."""

    status: str
    gen: int
    number: int
    chains: dict[str, Record] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    signals: dict[str, bytes] = field(default_factory=dict)
    deaths: dict[str, bytes] = field(default_factory=dict)
    chords: dict[str, ChordView] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)
    """Chords that one lane decided and nothing else is known of."""
    held: set[tuple[str, str]] = field(default_factory=set)
    leases: dict[str, int] = field(default_factory=dict)
    dispatched: dict[tuple[str, str], int] = field(default_factory=dict)
    """Address and queue -> ticket."""
    again: dict[str, int] = field(default_factory=dict)
    timers: dict[tuple[str, int, str], int] = field(default_factory=dict)
    """Address, sequence number and kind -> when."""
    messages: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Queue -> address and ticket, oldest first."""

    def copy(self) -> View:
        """Return a view that can be changed alone."""
        kept = {
            name: value.copy()
            for name, value in vars(self).items()
            if isinstance(value, (dict, set))
        }
        chords = {
            k: replace(c, settled=c.settled.copy(), marks=c.marks.copy())
            for k, c in self.chords.items()
        }
        messages = {queue: some.copy() for queue, some in self.messages.items()}
        return replace(self, **{**kept, "chords": chords, "messages": messages})

    def closed(self, addr: str) -> bool:
        """Return whether a chord around an address is decided."""
        return addr.startswith(self.inside())

    def inside(self) -> tuple[str, ...]:
        """Return how the addresses begin that a decided chord is around."""
        around = {k for k, chord in self.chords.items() if chord.why is not None}
        return tuple(k + end for k in around | self.decided for end in ".:")


class Box:
    """The store on a server that the test has for itself, emptied."""

    def __init__(self, url: str) -> None:
        """Connect to a server, empty it and stop its clock."""
        self.url = url
        self.client: Any = redis.Redis.from_url(url)
        self.store = RedisStore(url, template=TEMPLATE, lease_ms=LEASE_MS)
        self._look = self.client.script_load(LOOK)
        self.empty()

    def empty(self) -> None:
        """Take everything away and stop the clock."""
        self.client.flushall()
        self.clock = Clock(self.store)

    def fill(self, room: int = 0) -> None:
        """Leave the server no room, as a policy of no eviction has it, or some bytes."""
        self.client.config_set("maxmemory-policy", "noeviction")
        used = self.client.info("memory")["used_memory"]
        self.client.config_set("maxmemory", used + room if room else 1)

    def make_room(self) -> None:
        """Give the server all the room there is."""
        self.client.config_set("maxmemory", 0)

    def close(self) -> None:
        """Hang up; what the collector finds in a circle would warn of open sockets."""
        self.client.close()
        self.store.wire.close()

    def messages(self, queue: str) -> list[Message]:
        """Return the messages of a queue, oldest first."""
        texts = self.client.lrange(PREFIX + queue, 0, -1)
        return [Message.read(text) for text in reversed(texts)]

    def pop(self, queue: str) -> Message | None:
        """Take the oldest message."""
        text = self.client.rpop(PREFIX + queue)
        return Message.read(text) if text else None

    def take(self, queue: str, addr: str) -> Message | None:
        """Take the oldest message for one address."""
        for text in reversed(self.client.lrange(PREFIX + queue, 0, -1)):
            if Message.read(text).addr == addr:
                self.client.lrem(PREFIX + queue, -1, text)
                return Message.read(text)
        return None

    def pass_time(self, ms: int) -> None:
        """Let time pass."""
        self.clock.pass_time(ms)

    def resume_cut_short(self, run: str) -> None:
        """Resume a run, but die after the first page of what was held."""
        entry = b'{"e":[["run_resumed"]]}'
        self.store.wire.script("resume", run, entry, 100, TEMPLATE)

    def fields(self, run: str) -> set[str]:
        """Return the names of what is kept of a run's chords until they are joined."""
        names = {name.decode() for name in self.client.hkeys(f"swarm:s:r:{run}:1")}
        return {name for name in names if name[:2] in ("o:", "n:", "x:", "e:", "s:")}

    def view(self, run: str) -> View | None:
        """Look at a run."""
        found = self.store.wire.call("EVALSHA", self._look, 0, run)
        fields, logs, results, queues, held, leases, again, timers, gen = found
        key = generation_key(run, int(gen))
        got = {name.decode(): raw for name, raw in _pairs(fields)}
        if not got:
            return None
        view = View(got["status"].decode(), int(gen), int(got["n"]))
        lanes = {k.decode(): flat for k, flat in results}
        for name, raw in got.items():
            what, _, addr = name.partition(":")
            if what == "c":
                view.chains[addr] = unpack(raw)
            elif what == "s" and addr:
                view.signals[addr] = raw
            elif what == "w":
                view.deaths[addr] = raw
            elif what == "k":
                view.chords[addr] = _chord(addr, raw, got, lanes[addr])
            elif what == "x" and f"k:{addr}" not in got:
                view.decided.add(addr)
        for name, log in logs:
            addr = name.decode()
            view.logs[addr] = log[: view.chains[addr].loglen]
        view.held = {_split(member) for member in held}
        view.leases = dict(_members(key, leases))
        view.again = dict(_members(key, again))
        _read_queues(run, key, view, queues)
        for member, at in _members(key, timers):
            addr, seq, kind = member.split("|")
            view.timers[addr, int(seq), kind] = at
        return view


def _read_queues(run: str, key: str, view: View, queues: list[Any]) -> None:
    for name, tickets, texts in queues:
        queue = name.decode()
        for addr, ticket in _members(key, tickets):
            view.dispatched[addr, queue] = ticket
        some = [
            m
            for m in map(Message.read, reversed(texts))
            if (m.run, m.gen) == (run, view.gen)
        ]
        if some:
            view.messages[queue] = [(m.addr, m.ticket) for m in some]


def _pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _members(key: str, flat: list[Any]) -> list[tuple[str, int]]:
    """Return what belongs to a generation, without its key, each with its number."""
    named = [(*_split(member), int(number)) for member, number in _pairs(flat)]
    return [(addr, number) for who, addr, number in named if who == key]


def _split(member: bytes) -> tuple[str, str]:
    first, _, second = member.decode().partition("|")
    return first, second


def _chord(k: str, raw: bytes, got: dict[str, bytes], lanes: list[Any]) -> ChordView:
    settled: dict[int, tuple[str, bytes | None, bytes | None]] = {}
    marks: dict[str, tuple[str, str, int]] = {}
    for name, value in _pairs(lanes):
        if name.startswith(b"b:"):
            marks[name[2:].decode()] = _mark(value.decode())
            continue
        by, text = value[:12].decode(), value[13:]
        fine = value[12:13] == b"F"
        settled[int(name)] = (by, text, None) if fine else (by, None, text)
    return ChordView(
        unpack_chord(raw),
        int(got.get(f"n:{k}", b"0")),
        int(got.get(f"o:{k}", b"0")),
        got[f"x:{k}"].decode() if f"x:{k}" in got else None,
        settled,
        marks,
    )


def _mark(text: str) -> tuple[str, str, int]:
    if text[0] in "=-x":
        state = {"=": "done", "-": "free", "x": "broken"}[text[0]]
        return state, text[1:], -1
    return "running", text[:12], int(text[12:])


def _places_of_chains(view: View) -> dict[str, list[str]]:
    """Return every place where each live chain with a record is kept."""
    places: dict[str, list[str]] = {}
    inside = view.inside()
    held = Counter(addr for addr, _ in view.held)
    dispatched = Counter(addr for addr, _ in view.dispatched)
    joined = Counter(
        chord.spec.parent
        for chord in view.chords.values()
        if chord.why is None and chord.outstanding
    )
    for addr, chain in view.chains.items():
        if addr.startswith(inside):
            continue
        here = ["lease"] * (addr in view.leases)
        here += ["held"] * held[addr]
        here += ["dispatched"] * dispatched[addr]
        if chain.state == ChainState.WAITING:
            here.append("waiting")
        if chain.state == ChainState.JOINING:
            here += ["chord"] * joined[addr]
        places[addr] = here
    return places


EXPECTED = {
    "p": ["dispatched"], "r": ["lease"], "w": ["waiting"], "h": ["held"], "j": ["chord"],
}  # fmt: skip


def audit(box: Box, run: str) -> View | None:
    """Check that every chain and lane of a run is in exactly one place."""
    view = box.view(run)
    if view is None or view.status in FINAL_RUN:
        return view
    places = _places_of_chains(view)
    for addr, here in places.items():
        chain = view.chains[addr]
        if chain.state == ChainState.SIGNALLED:
            assert here in (["dispatched"], ["held"]), (addr, here)
            assert addr in view.signals
        else:
            assert here == EXPECTED[chain.state], (addr, chain, here)
        if here == ["dispatched"]:
            assert (addr, chain.queue) in view.dispatched
    inside, lanes = view.inside(), _places_of_lanes(view)
    for k, chord in view.chords.items():
        parent = view.chains.get(chord.spec.parent)
        if (
            parent
            and parent.state == ChainState.JOINING
            and chord.outstanding
            and not f"{k}.".startswith(inside)
        ):
            _audit_window(k, chord)
            _audit_lanes(view, k, chord, lanes[k])
    for addr, queue in view.held:
        assert addr not in view.chains or view.chains[addr].queue == queue, addr
    waiting = {a for a, _ in view.held | view.dispatched.keys()}
    for addr in view.leases.keys() | waiting:
        known = addr in places or addr.startswith(inside) or _is_lane(view, addr)
        assert known, f"{addr} is leased, held or dispatched but not known"
    return view


def _is_lane(view: View, addr: str) -> bool:
    return _lanes_of(addr)[0] in view.chords and addr not in view.chains


def _audit_window(k: str, chord: ChordView) -> None:
    sent, spec = chord.next - len(chord.settled), chord.spec
    assert chord.next == spec.size or spec.window <= sent, k
    assert sent < spec.window + spec.batch, k


Places = list[tuple[str, range]]
"""Where lanes of one chord are."""


def _places_of_lanes(view: View) -> dict[str, Places]:
    """Return every place but running batches where lanes are, by their chords."""
    places: dict[str, Places] = defaultdict(list)
    for addr in view.chains:
        chord, lanes = _lanes_of(addr)
        places[chord].append(("own record", lanes))
    for addr, _ in view.dispatched.keys() | view.held:
        if addr not in view.chains:
            chord, lanes = _lanes_of(addr)
            places[chord].append(("waits", lanes))
    return places


def _audit_lanes(view: View, k: str, chord: ChordView, places: Places) -> None:
    """Check that every lane that is not settled is in one place."""
    assert chord.outstanding == chord.spec.size - len(chord.settled), k
    where: dict[int, list[str]] = {i: [] for i in range(chord.spec.size)}
    for i in chord.settled:
        where[i].append("settled")
    for i in range(chord.next, chord.spec.size):
        where[i].append("not yet")
    for span, (state, _, cursor) in chord.marks.items():
        assert (f"{k}:{span}" in view.leases) == (state == "running"), span
        if state == "running":
            places.append(("runs", range(cursor, int(span.partition("-")[2]))))
    for place, lanes in places:
        for i in lanes:
            where[i].append(place)
    for i, here in where.items():
        assert len(here) == 1, (k, i, here)


@lru_cache(maxsize=10_000)
def _lanes_of(addr: str) -> tuple[str, range]:
    """Return the chord and its lanes that an address names."""
    owner = owner_of("", 0, addr)
    if isinstance(owner, BatchRef):
        return owner.chord, range(owner.lo, owner.hi)
    chord, lane = split_lane(addr)
    return chord, range(lane, lane + 1)
