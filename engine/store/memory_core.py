"""State of the in-memory store and what all its transitions share.

The counterpart of `scripts/prelude.lua`: fence, dispatch, journal, leases, holding,
windows and the closing of chords are written here and nowhere else.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, Final, Literal, ParamSpec, TypeVar

from engine.store.base import (
    ENGINE_QUEUE,
    ITEM_PAGE,
    ROOT,
    ChordSpec,
    Joined,
    JournalEntry,
    Moved,
    Pending,
    Ref,
    Refused,
)
from engine.store.record import Record

FINAL: Final = frozenset({"done", "failed", "cancelled"})
PAGE: Final = 100
ENGINE_TIMEOUT_MS: Final = 60_000
TOMBSTONE_MS: Final = 7 * 24 * 3600 * 1000
GRACE_MS: Final = 5_000
"""How long after its deadline an attempt stays its worker's, so that its keeper reports it."""

Member = tuple[str, str]
"""A run and an address inside it: a chain, or lanes as `chord:lo-hi`."""
Span = tuple[int, int]

_CHORD = re.compile(r"\.k\d+")
_LANE = re.compile(r"(.*\.k\d+)\.(\d+)")
_BATCH = re.compile(r"(.*):(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Message:
    """What a queue carries: a hint that a chain or batch waits to be claimed."""

    run: str
    gen: int
    addr: str
    ticket: int


@dataclass(frozen=True, slots=True)
class Timer:
    """A retry delay of a waiting chain, or the deadline of a run."""

    run: str
    gen: int
    addr: str
    seq: int
    kind: Literal["retry", "deadline"]


@dataclass(slots=True)
class Mark:
    """What became of a batch: run by `nonce`, done by it, given back whole, broken up."""

    state: Literal["running", "done", "free", "broken"]
    nonce: str
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A lane that has ended, and the claim that ended it."""

    nonce: str
    log: bytes | None
    failure: bytes | None


@dataclass(slots=True)
class Chord:
    """A fanout: its constants, its counters, its settled lanes and its batches."""

    spec: ChordSpec
    outstanding: int
    next: int = 0
    why: str | None = None
    settled: dict[int, Settled] = field(default_factory=dict)
    marks: dict[Span, Mark] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """One live run."""

    status: str
    gen: int
    number: int = 0
    program_id: str = ""
    why: str = ""
    at_ms: int = 0
    gone_ms: int = 0
    """When a tombstone may be forgotten; 0 for a real run."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    chains: dict[str, Record] = field(default_factory=dict)
    logs: dict[str, bytearray] = field(default_factory=dict)
    signals: dict[str, bytes] = field(default_factory=dict)
    deaths: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Whose owner is said to be dead: its nonce, and how it ended."""
    chords: dict[str, Chord] = field(default_factory=dict)
    held: set[tuple[str, str]] = field(default_factory=set)
    emitted: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The last emission of a chain or batch: its nonce and mark."""
    decided: dict[str, str] = field(default_factory=dict)
    """Of chords that are dropped: the lane that decided."""
    late: bytes = b""
    """The last entry of a result that came too late."""

    def closed(self, addr: str) -> bool:
        """Return whether a chord around this address is decided."""
        around = [addr[: m.end()] for m in _CHORD.finditer(addr)]
        chords = (self.chords.get(chord) for chord in around)
        return any(
            chord is not None and chord.why is not None for chord in chords
        ) or any(chord in self.decided for chord in around)

    def read_log(self, addr: str, length: int) -> bytes:
        """Return the first `length` bytes of an edit log."""
        return bytes(self.logs.get(addr, b"")[:length])

    def write_edits(self, addr: str, offset: int, edits: bytes) -> None:
        """Write edits at an offset; what lies behind them is garbage nobody reads."""
        if edits:
            self.logs.setdefault(addr, bytearray())[offset : offset + len(edits)] = (
                edits
            )

    def write_base(self, chain: Record, base: tuple[str, bytes] | None) -> str:
        """Give a chain a new base, if there is one; return the name of its base.

        Nobody reads the one before it any more: lanes do that start from it, and a
        chain that moves has no open chord.
        """
        if base is None:
            return chain.base_id
        self.blobs.pop(chain.base_id, None)
        self.blobs[base[0]] = base[1]
        return base[0]


@dataclass(frozen=True, slots=True)
class Owned:
    """A fence that lets the caller write."""

    run: Run
    chain: Record


@dataclass(frozen=True, slots=True)
class Again:
    """A fence that finds that this very call has run before."""

    chain: Record


def chord_of(addr: str) -> tuple[str, int] | None:
    """Return the chord and index of a lane, None for the root chain."""
    found = _LANE.fullmatch(addr)
    return (found[1], int(found[2])) if found else None


def batch_of(addr: str) -> tuple[str, Span] | None:
    """Return the chord and span of a batch's address, None for a chain."""
    found = _BATCH.fullmatch(addr)
    return (found[1], (int(found[2]), int(found[3]))) if found else None


def batch_addr(chord: str, lo: int, hi: int) -> str:
    """Return the address under which a batch is dispatched and leased."""
    return f"{chord}:{lo}-{hi}"


def new_chain(pending: Pending) -> Record:
    """Return a chain that has not moved yet."""
    return Record(
        seq=0,
        owner="",
        last="",
        state="p",
        tries=0,
        lost=0,
        deadline_ms=0,
        timeout_ms=pending.timeout_ms,
        loglen=0,
        base_id="",
        queue=pending.queue,
        place=pending.place,
        frames=pending.frames,
    )


def new_lane(spec: ChordSpec, index: int) -> Record:
    """Return the record of a lane that is to be entered."""
    place = f"{spec.place}/lane[{index}]"
    return new_chain(Pending(b"c", spec.queue, place, spec.timeout_ms))


def is_step(chain: Record) -> bool:
    """Return whether the chain waits to run an agent (which counts as a try)."""
    return chain.frames.startswith(b"s")


def moved_again(chain: Record, nonce: str, what: str) -> Moved:
    """Answer a resent transition: the claim goes on, or the chain was released."""
    if chain.owner == nonce:
        return Moved(chain.deadline_ms)
    return Moved(0, what == "c" or (what != "w" and chain.state == "h"))


P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Core")


def atomic(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """Make a method one action: nobody sees or changes anything in the midst of it."""

    @wraps(method)
    def alone(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            self.now = self.clock()
            return method(self, *args, **kwargs)

    return alone


def wall_ms() -> int:
    """Return the time of day in milliseconds."""
    return time.time_ns() // 1_000_000


class Core:
    """Runs, queues, leases, timers and the journal, and the parts of a transition."""

    def __init__(
        self, *, lease_ms: int = 10_000, clock: Callable[[], int] | None = None
    ) -> None:
        """Make an empty store; `clock` tells milliseconds."""
        self.lock = threading.Condition(threading.RLock())
        self.clock = clock or wall_ms
        self.now = self.clock()
        self.lease_ms = lease_ms
        self.runs: dict[str, Run] = {}
        self.removed: dict[str, tuple[str, int]] = {}
        self.pages: dict[Member, list[bytes]] = {}
        self.leases: dict[Member, int] = {}
        self.timers: dict[Timer, int] = {}
        self.dispatched: dict[str, dict[Member, int]] = {}
        self.again: dict[Member, int] = {}
        self.messages: dict[str, deque[Message]] = {}
        self.took: dict[str, tuple[Ref, str]] = {}
        self.entries: deque[JournalEntry] = deque()
        self.mark = "0"
        self._ticket = 0
        self._entry = (0, 0)

    def find(self, run: str) -> Run | None:
        """Return a run, unless it is unknown or a tombstone that has expired."""
        found = self.runs.get(run)
        if found is not None and 0 < found.gone_ms <= self.now:
            del self.runs[run]
            return None
        return found

    def pop(self, queue: str) -> Message | None:
        """Take the oldest message of a queue, as a worker does."""
        with self.lock:
            waiting = self.messages.get(queue)
            return waiting.popleft() if waiting else None

    def fence(self, ref: Ref, seq: int, nonce: str) -> Owned | Again | Refused:
        """Let the owner of an attempt write; idempotence is checked first."""
        run = self.find(ref.run)
        if run is None:
            return Refused("gone")
        if run.gen != ref.gen:
            return Refused("stale")
        chain = run.chains.get(ref.addr)
        if chain and nonce in (chain.owner, chain.last) and chain.seq > seq:
            return Again(chain)
        if run.status in FINAL:
            self.unlease(ref.run, ref.addr)
            return Refused("over")
        if run.closed(ref.addr):
            self.unlease(ref.run, ref.addr)
            return Refused("closed")
        if chain is None:
            return Refused("gone")
        if chain.state != "r" or chain.owner != nonce or chain.seq != seq:
            return Refused("stale")
        return Owned(run, chain)

    def dispatch(self, run_id: str, gen: int, addr: str, queue: str) -> None:
        """Put a message into a queue and remember its ticket until it is claimed."""
        self._ticket = max(self._ticket + 1, self.now * 1000)
        self.dispatched.setdefault(queue, {})[run_id, addr] = self._ticket
        message = Message(run_id, gen, addr, self._ticket)
        self.messages.setdefault(queue, deque()).append(message)

    def claimed(self, run_id: str, addr: str, queue: str) -> None:
        """Forget a ticket that has done its work."""
        self.dispatched.get(queue, {}).pop((run_id, addr), None)
        self.again.pop((run_id, addr), None)

    def send(self, run_id: str, run: Run, addr: str, queue: str) -> None:
        """Dispatch a chain or batch, or hold it while its run is paused."""
        if run.status == "paused":
            run.held.add((addr, queue))
        else:
            self.dispatch(run_id, run.gen, addr, queue)

    def journal_entry(self, run_id: str, run: Run, data: bytes) -> None:
        """Give an entry the run's next number and append it."""
        run.number += 1
        ms, number = self._entry
        self._entry = (self.now, 0) if self.now > ms else (ms, number + 1)
        entry_id = f"{self._entry[0]}-{self._entry[1]}"
        self.entries.append(
            JournalEntry(
                entry_id, run_id, run.gen, run.number, self._entry[0], bytes(data)
            )
        )
        self.lock.notify_all()

    def lease(self, run_id: str, addr: str, deadline: int | None = None) -> None:
        """Lease a chain or batch to its owner, not much longer than its deadline."""
        till = self.now + self.lease_ms
        if deadline is not None:
            till = min(till, deadline + GRACE_MS)
        self.leases[run_id, addr] = till

    def unlease(self, run_id: str, addr: str) -> None:
        """Drop a lease."""
        self.leases.pop((run_id, addr), None)

    def send_lanes(self, run_id: str, run: Run, chord_id: str) -> None:
        """Dispatch lanes while fewer than the window are dispatched and unsettled."""
        chord = run.chords[chord_id]
        spec, settled = chord.spec, chord.spec.size - chord.outstanding
        while chord.next < spec.size and chord.next - settled < spec.window:
            lo, hi = chord.next, min(chord.next + spec.batch, spec.size)
            single = spec.batch == 1
            addr = f"{chord_id}.{lo}" if single else batch_addr(chord_id, lo, hi)
            self.dispatch(run_id, run.gen, addr, spec.queue)
            chord.next = hi

    def close_chord(
        self, run_id: str, run: Run, chord_id: str, why: str, nonce: str
    ) -> Joined | Moved:
        """Decide a chord and hand its parent's pending join to `nonce`, or park it."""
        chord = run.chords[chord_id]
        parent = chord.spec.parent
        old = run.chains[parent]
        chain = old.with_(seq=old.seq + 1, tries=0, lost=0)
        chord.why = why
        if run.status == "paused":
            chain = chain.with_(state="h", owner="", last=nonce, queue=ENGINE_QUEUE)
            run.held.add((parent, ENGINE_QUEUE))
            run.chains[parent] = chain
            return Moved(held=True)
        deadline = self.now + chain.timeout_ms
        chain = chain.with_(state="r", owner=nonce, last="", deadline_ms=deadline)
        self.lease(run_id, parent, deadline)
        run.chains[parent] = chain
        return Joined(parent, chain)

    def join_again(self, run: Run, chord_id: str, nonce: str) -> Joined | Moved:
        """Answer a resend of the call that may have decided a chord."""
        chord = run.chords.get(chord_id)
        if chord is None or chord.why is None:
            return Moved()
        chain = run.chains[chord.spec.parent]
        if chain.state == "r" and chain.owner == nonce:
            return Joined(chord.spec.parent, chain)
        return Moved(held=chain.state == "h" and chain.last == nonce)

    def write_pages(self, run_id: str, chord_id: str, pages: Sequence[bytes]) -> None:
        """Replace the items of a chord."""
        self.pages[run_id, chord_id] = list(pages)

    def forget_joins(
        self, run_id: str, run: Run, consumed: str, needless: Sequence[str]
    ) -> None:
        """Drop what chords needed.

        Of the one consumed that is the decision, unless it tells losers, and the lanes
        that lost; of the needless everything, for nothing refers to them any more.
        """
        found = run.chords.get(consumed)
        if found is not None and found.why == "all":
            found.why = None
        elif found is not None and found.why is not None:
            losers = set(range(found.next)) - {int(found.why)}
            self._forget_lanes(run_id, run, consumed, losers, closed=True)
        for chord in needless:
            self.forget_chord(run_id, run, chord)

    def forget_chord(
        self, run_id: str, run: Run, chord: str, *, within: bool = False
    ) -> None:
        """Drop a chord that nothing refers to.

        That a single lane decided stays: it tells losers, unless they are `within` one
        that tells them.
        """
        found = run.chords.pop(chord, None)
        self.pages.pop((run_id, chord), None)
        if found is None:
            return
        alone = found.why not in (None, "all")
        lanes = range(found.spec.size)
        self._forget_lanes(run_id, run, chord, lanes, closed=within or alone)
        if alone and not within:
            run.decided[chord] = str(found.why)

    def forget_opened(
        self, run_id: str, run: Run, lane: str, *, within: bool = False
    ) -> None:
        """Drop the chords that a lane has opened."""
        for chord in [k for k, one in run.chords.items() if one.spec.parent == lane]:
            self.forget_chord(run_id, run, chord, within=within)
        if within:
            for chord in [k for k in run.decided if k.rpartition(".k")[0] == lane]:
                del run.decided[chord]

    def _forget_lanes(
        self, run_id: str, run: Run, chord: str, lanes: Iterable[int], *, closed: bool
    ) -> None:
        """Drop lanes that settled or lost, with the chords they opened.

        `closed`: a decision that stays tells all that is inside them.
        """
        for lane in lanes:
            addr = f"{chord}.{lane}"
            record = run.chains.pop(addr, None)
            if record is not None:
                run.blobs.pop(record.base_id, None)
                run.logs.pop(addr, None)
                run.signals.pop(addr, None)
                run.deaths.pop(addr, None)
                run.emitted.pop(addr, None)
            self.forget_opened(run_id, run, addr, within=closed)

    def read_page(self, run_id: str, chord_id: str, page: int) -> bytes:
        """Return one page of a chord's items."""
        pages = self.pages.get((run_id, chord_id), [])
        return pages[page] if page < len(pages) else b"[]"

    def page_of(self, run_id: str, chord_id: str, lane: int) -> bytes:
        """Return the page of items that a lane's item is on."""
        return self.read_page(run_id, chord_id, lane // ITEM_PAGE)

    def stop_deadline(self, run_id: str, run: Run) -> None:
        """Drop the deadline timer of a run that has ended."""
        self.timers.pop(Timer(run_id, run.gen, ROOT, 0, "deadline"), None)
