"""A store under test together with its broker, its clock and a look inside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import redis

from engine.store.base import ChordSpec, RunStore
from engine.store.memory import MemoryStore, Message
from engine.store.memory_core import batch_of
from engine.store.record import Record, unpack
from engine.store.redis import RedisStore
from engine.store.spec import unpack_chord

LEASE_MS = 10_000
TEMPLATE = (
    b'swarm:q:\n{"id":"swarm-ticket:\0T/\0L/\0R/\0N/\0A","a":["\0R",\0N,"\0A",\0T],'
    b'"k":"\0K","q":"\0Q","l":\0L}'
)

# Time passes for Redis by moving every time it has stored into the past.
PASS_TIME = r"""
local ms, S = tonumber(ARGV[1]), 'swarm:s:'
local function num(n) return string.format('%.0f', n) end
local function shift(key, by)
  local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do redis.call('ZADD', key, num(all[i + 1] - by), all[i]) end
end
shift(S .. 'leases', ms)
shift(S .. 't', ms)
shift(S .. 't:run', ms)
for _, q in ipairs(redis.call('SMEMBERS', S .. 'queues')) do
  shift(S .. 'd:' .. q, ms * 1000)
  local list = redis.call('LRANGE', 'swarm:q:' .. q, 0, -1)
  for i, text in ipairs(list) do
    local ticket = string.match(text, 'swarm%-ticket:(%d+)')
    redis.call('LSET', 'swarm:q:' .. q, i - 1,
      (string.gsub(text, ticket, num(ticket - ms * 1000))))
  end
end
for i = 2, #ARGV do
  local key = S .. 'r:' .. ARGV[i]
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    local name, raw = all[j], all[j + 1]
    if name == 'at' then redis.call('HSET', key, 'at', num(raw - ms)) end
    if string.sub(name, 1, 2) == 'c:' then
      local deadline = tonumber(string.sub(raw, 38, 50))
      if deadline > 0 then
        redis.call('HSET', key, name, string.sub(raw, 1, 37) ..
          string.format('%013.0f', deadline - ms) .. string.sub(raw, 51))
      end
    end
  end
end
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
    """All a store keeps about one run; times only as whether they are set."""

    status: str
    gen: int
    number: int
    chains: dict[str, Record] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    signals: dict[str, bytes] = field(default_factory=dict)
    chords: dict[str, ChordView] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)
    """Chords that one lane decided and nothing else is known of."""
    held: set[tuple[str, str]] = field(default_factory=set)
    leases: set[str] = field(default_factory=set)
    dispatched: set[tuple[str, str]] = field(default_factory=set)
    again: dict[str, int] = field(default_factory=dict)
    timers: set[tuple[str, int, str]] = field(default_factory=set)
    messages: list[tuple[str, str]] = field(default_factory=list)


def timeless(record: Record) -> Record:
    """Return a record that says of its deadline only whether there is one."""
    return replace(record, deadline_ms=int(record.deadline_ms > 0))


class Box(Protocol):
    """What the contract suite needs of a store and its surroundings."""

    name: str
    store: RunStore

    def messages(self, queue: str) -> list[Message]:
        """Return the messages of a queue, oldest first."""

    def pop(self, queue: str) -> Message | None:
        """Take the oldest message."""

    def take(self, queue: str, addr: str) -> Message | None:
        """Take the oldest message for one address."""

    def pass_time(self, ms: int) -> None:
        """Let time pass."""

    def resume_cut_short(self, run: str) -> None:
        """Resume a run, but die as soon as that can leave something undone."""

    def fields(self, run: str) -> set[str]:
        """Return the names of what is kept of a run's chords until they are joined."""

    def view(self, run: str) -> View | None:
        """Look at a run."""


class MemoryBox:
    """The in-memory store with a clock that stands still until told."""

    name = "memory"

    def __init__(self) -> None:
        """Make an empty store."""
        self.now = 1_790_000_000_000
        self.inner = MemoryStore(lease_ms=LEASE_MS, clock=lambda: self.now)
        self.store: RunStore = self.inner

    def messages(self, queue: str) -> list[Message]:
        """See Box.messages."""
        return list(self.inner.messages.get(queue, ()))

    def pop(self, queue: str) -> Message | None:
        """See Box.pop."""
        return self.inner.pop(queue)

    def take(self, queue: str, addr: str) -> Message | None:
        """See Box.take."""
        for message in self.messages(queue):
            if message.addr == addr:
                self.inner.messages[queue].remove(message)
                return message
        return None

    def pass_time(self, ms: int) -> None:
        """See Box.pass_time."""
        self.now += ms

    def resume_cut_short(self, run: str) -> None:
        """See Box.resume_cut_short; a resume is one action here."""
        self.inner.resume(run)

    def fields(self, run: str) -> set[str]:
        """See Box.fields."""
        chords = self.inner.runs[run].chords
        return {f"x:{k}" for k, chord in chords.items() if chord.why is not None}

    def view(self, run: str) -> View | None:
        """See Box.view."""
        found = self.inner.runs.get(run)
        if found is None:
            return None
        view = View(found.status, found.gen, found.number)
        for addr, record in found.chains.items():
            view.chains[addr] = timeless(record)
            view.logs[addr] = found.read_log(addr, record.loglen)
        view.signals = dict(found.signals)
        view.decided = set(found.decided)
        for k, chord in found.chords.items():
            view.chords[k] = ChordView(
                chord.spec,
                chord.next,
                chord.outstanding,
                chord.why,
                {i: (s.nonce, s.log, s.failure) for i, s in chord.settled.items()},
                {
                    f"{lo}-{hi}": (m.state, m.nonce, m.cursor)
                    if m.state == "running"
                    else (m.state, m.nonce, -1)
                    for (lo, hi), m in chord.marks.items()
                },
            )
        view.held = set(found.held)
        view.leases = {a for r, a in self.inner.leases if r == run}
        view.dispatched = {
            (a, q) for q, d in self.inner.dispatched.items() for r, a in d if r == run
        }
        view.again = {a: n for (r, a), n in self.inner.again.items() if r == run}
        view.timers = {
            (t.addr, t.seq, t.kind) for t in self.inner.timers if t.run == run
        }
        view.messages = sorted(
            (m.addr, q)
            for q, d in self.inner.messages.items()
            for m in d
            if m.run == run
        )
        return view


class RedisBox:
    """The Redis store on a real server."""

    name = "redis"

    def __init__(self, socket: str) -> None:
        """Connect to a server and empty it."""
        self.url = f"unix://{socket}"
        self.client: Any = redis.Redis(unix_socket_path=socket)
        self.client.flushall()
        self.inner = RedisStore(self.url, template=TEMPLATE, lease_ms=LEASE_MS)
        self.store: RunStore = self.inner
        self.full = False
        self._pass_time = self.client.register_script(PASS_TIME)

    def fill(self, room: int = 0) -> None:
        """Leave the server no room, as a policy of no eviction has it, or some bytes."""
        self.client.config_set("maxmemory-policy", "noeviction")
        used = self.client.info("memory")["used_memory"]
        self.client.config_set("maxmemory", used + room if room else 1)
        self.full = True

    def make_room(self) -> None:
        """Give the server all the room there is."""
        self.client.config_set("maxmemory", 0)
        self.full = False

    def close(self) -> None:
        """Hang up; what the collector finds in a circle would warn of open sockets."""
        self.client.close()
        self.inner.wire._connection().disconnect()

    def messages(self, queue: str) -> list[Message]:
        """See Box.messages."""
        texts = self.client.lrange(f"swarm:q:{queue}", 0, -1)
        return [parse(text) for text in reversed(texts)]

    def pop(self, queue: str) -> Message | None:
        """See Box.pop."""
        text = self.client.rpop(f"swarm:q:{queue}")
        return parse(text) if text else None

    def take(self, queue: str, addr: str) -> Message | None:
        """See Box.take."""
        for text in reversed(self.client.lrange(f"swarm:q:{queue}", 0, -1)):
            if parse(text).addr == addr:
                self.client.lrem(f"swarm:q:{queue}", -1, text)
                return parse(text)
        return None

    def pass_time(self, ms: int) -> None:
        """See Box.pass_time."""
        runs = {key.decode().split(":")[3] for key in self.client.keys("swarm:s:r:*")}
        full = self.full
        if full:
            self.make_room()
        self._pass_time(args=[ms, *sorted(runs)])
        if full:
            self.fill()

    def resume_cut_short(self, run: str) -> None:
        """See Box.resume_cut_short; a resume goes in pages here."""
        entry = b'{"e":[["run_resumed"]]}'
        self.inner.wire.script("resume", run, entry, 100, TEMPLATE)

    def fields(self, run: str) -> set[str]:
        """See Box.fields."""
        names = {name.decode() for name in self.client.hkeys(f"swarm:s:r:{run}")}
        return {name for name in names if name[:2] in ("o:", "n:", "x:", "e:", "s:")}

    def view(self, run: str) -> View | None:
        """See Box.view."""
        key = f"swarm:s:r:{run}"
        got = {k.decode(): v for k, v in self.client.hgetall(key).items()}
        if not got:
            return None
        view = View(got["status"].decode(), int(got["gen"]), int(got["n"]))
        for name, raw in got.items():
            what, _, addr = name.partition(":")
            if what == "c":
                record = unpack(raw)
                view.chains[addr] = timeless(record)
                view.logs[addr] = self.inner.log(run, addr, record.loglen)
            elif what == "s" and addr:
                view.signals[addr] = raw
            elif what == "k":
                view.chords[addr] = self._chord(run, addr, raw, got)
            elif what == "x" and f"k:{addr}" not in got:
                view.decided.add(addr)
        self._around(run, view)
        return view

    def _around(self, run: str, view: View) -> None:
        """Read what is kept outside the run's own hash."""
        view.held = {_pair(m) for m in self.client.smembers(f"swarm:s:r:{run}:h")}
        view.leases = set(
            self._members(run, self.client.zrange("swarm:s:leases", 0, -1))
        )
        for name in self.client.smembers("swarm:s:queues"):
            queue = name.decode()
            members = self.client.zrange(f"swarm:s:d:{queue}", 0, -1)
            view.dispatched |= {(a, queue) for a in self._members(run, members)}
            view.messages += [
                (m.addr, queue) for m in self.messages(queue) if m.run == run
            ]
        view.messages.sort()
        again = self.client.hgetall("swarm:s:again")
        for member in again:
            who, addr = _pair(member)
            if who == run:
                view.again[addr] = int(again[member])
        for member in self.client.zrange("swarm:s:t", 0, -1) + self.client.zrange(
            "swarm:s:t:run", 0, -1
        ):
            who, _, addr, seq, kind = member.decode().split("|")
            if who == run:
                view.timers.add((addr, int(seq), kind))

    @staticmethod
    def _members(run: str, members: list[bytes]) -> list[str]:
        return [a for r, a in map(_pair, members) if r == run]

    def _chord(self, run: str, k: str, raw: bytes, got: dict[str, bytes]) -> ChordView:
        settled: dict[int, tuple[str, bytes | None, bytes | None]] = {}
        marks: dict[str, tuple[str, str, int]] = {}
        for name, value in self.client.hgetall(f"swarm:s:r:{run}:k:{k}").items():
            if name.startswith(b"b:"):
                marks[name[2:].decode()] = _mark(value.decode())
                continue
            text = value[13:]
            done = value[12:13] == b"F"
            settled[int(name)] = (
                value[:12].decode(),
                text if done else None,
                None if done else text,
            )
        why = got[f"x:{k}"].decode() if f"x:{k}" in got else None
        return ChordView(
            unpack_chord(raw),
            int(got.get(f"n:{k}", b"0")),
            int(got.get(f"o:{k}", b"0")),
            why,
            settled,
            marks,
        )


def _mark(text: str) -> tuple[str, str, int]:
    if text[0] in "=-x":
        state = {"=": "done", "-": "free", "x": "broken"}[text[0]]
        return state, text[1:], -1
    return "running", text[:12], int(text[12:])


def _pair(member: bytes) -> tuple[str, str]:
    first, _, second = member.decode().partition("|")
    return first, second


def parse(text: bytes) -> Message:
    """Read a queue message made from TEMPLATE."""
    run, gen, addr, ticket = json.loads(text)["a"]
    return Message(run, gen, addr, ticket)


def _closed(view: View, addr: str) -> bool:
    closed = {k for k, chord in view.chords.items() if chord.why is not None}
    return any(addr.startswith((k + ".", k + ":")) for k in closed | view.decided)


def _places_of_chains(view: View) -> dict[str, list[str]]:
    """Return every place where each live chain with a record is kept."""
    places: dict[str, list[str]] = {}
    for addr, chain in view.chains.items():
        if _closed(view, addr):
            continue
        here = ["lease"] * (addr in view.leases)
        here += ["held"] * sum(a == addr for a, _ in view.held)
        here += ["dispatched"] * sum(a == addr for a, _ in view.dispatched)
        if chain.state == "w":
            here.append("waiting")
        if chain.state == "j":
            here += [
                "chord"
                for chord in view.chords.values()
                if chord.spec.parent == addr and chord.why is None and chord.outstanding
            ]
        places[addr] = here
    return places


EXPECTED = {
    "p": ["dispatched"], "r": ["lease"], "w": ["waiting"], "h": ["held"], "j": ["chord"],
}  # fmt: skip


def audit(box: Box, run: str) -> View | None:
    """Check that every chain and lane of a run is in exactly one place."""
    view = box.view(run)
    if view is None or view.status in ("done", "failed", "cancelled"):
        return view
    places = _places_of_chains(view)
    for addr, here in places.items():
        chain = view.chains[addr]
        if chain.state == "s":
            assert here in (["dispatched"], ["held"]), (addr, here)
            assert addr in view.signals
        else:
            assert here == EXPECTED[chain.state], (addr, chain, here)
        if here == ["dispatched"]:
            assert (addr, chain.queue) in view.dispatched
    for k, chord in view.chords.items():
        parent = view.chains.get(chord.spec.parent)
        if (
            parent
            and parent.state == "j"
            and chord.outstanding
            and not _closed(view, k + ".0")
        ):
            _audit_lanes(view, k, chord)
    for addr in view.leases | {a for a, _ in view.held | view.dispatched}:
        known = addr in places or _closed(view, addr) or _is_lane(view, addr)
        assert known, f"{addr} is leased, held or dispatched but not known"
    return view


def _is_lane(view: View, addr: str) -> bool:
    batch = batch_of(addr)
    k = batch[0] if batch else addr.rpartition(".")[0]
    return k in view.chords and addr not in view.chains


def _audit_lanes(view: View, k: str, chord: ChordView) -> None:
    assert chord.outstanding == chord.spec.size - len(chord.settled), k
    waiting = view.dispatched | view.held
    where: dict[int, list[str]] = {i: [] for i in range(chord.spec.size)}
    for i in chord.settled:
        where[i].append("settled")
    for i in range(chord.next, chord.spec.size):
        where[i].append("not yet")
    for i, here in where.items():
        if f"{k}.{i}" in view.chains:
            here.append("own record")
        else:
            here += ["single"] * sum(a == f"{k}.{i}" for a, _ in waiting)
    for span, (state, _, cursor) in chord.marks.items():
        assert (f"{k}:{span}" in view.leases) == (state == "running"), span
        hi = int(span.partition("-")[2]) if state == "running" else cursor
        for i in range(cursor, hi):
            where[i].append(f"running {span}")
    for addr, _ in waiting:
        batch = batch_of(addr)
        for i in range(*batch[1]) if batch and batch[0] == k else ():
            where[i].append(f"batch {batch[1]}")
    for i, here in where.items():
        assert len(here) == 1, (k, i, here)
