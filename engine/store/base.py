"""Where a live run is kept: the RunStore port and the plain data that crosses it.

A store keeps chains, chords, leases, timers and the journal, and changes them by
whole transitions only. Two members exist: `redis.RedisStore` and `memory.MemoryStore`;
one contract suite (tests/engine/store) runs over both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from engine.store.record import Record

ROOT: Final = "0"
"""Address of a run's root chain."""

ENGINE_QUEUE: Final = "swarm.engine"
"""Queue of transitions that need no agent; every worker consumes it."""

ITEM_PAGE: Final = 64
"""Items of a chord are kept in pages of this many; a lane batch never spans two."""

Refusal = Literal["gone", "stale", "over", "closed", "held", "taken"]
"""Why a store did nothing.

gone: no such run, chain or chord. stale: another owner, generation or sequence number.
over: the run is final, or the lane or batch is settled. closed: an enclosing chord is
decided. held: the run is paused and the chain was parked. taken: not waiting for a claim.
"""


class StoreFull(Exception):
    """The store has no room for a new run or chord; all else goes on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A script that changed nothing (except parking a held chain), and why."""

    why: Refusal


@dataclass(frozen=True, slots=True)
class Ref:
    """One chain of one run in one generation, as a message or a lease names it."""

    run: str
    gen: int
    addr: str


@dataclass(frozen=True, slots=True)
class BatchRef:
    """The lanes `lo` up to but not including `hi` of one chord."""

    run: str
    gen: int
    chord: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Pending:
    """What a chain waits to do next, as its record tells it to whoever claims it."""

    frames: bytes
    queue: str
    place: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Start:
    """Everything that makes a run exist in the store."""

    run: str
    gen: int
    program_id: str
    program: bytes
    base_id: str
    base: bytes
    edits: bytes
    pending: Pending
    entry: bytes
    deadline_ms: int
    """Milliseconds from now; 0 only in tests that need no deadline."""


@dataclass(frozen=True, slots=True)
class Move:
    """One transition of a chain that this worker owns.

    `what` is `c` go on with `pending` under the same claim, `p` dispatch it to its
    queue, `w` wait `delay_ms` and dispatch it then (0: wait for a signal), `d` the
    root chain has ended with `status`. `edits` are written at `offset` of the edit log.
    """

    ref: Ref
    seq: int
    nonce: str
    what: Literal["c", "p", "w", "d"]
    offset: int
    edits: bytes
    pending: Pending
    entry: bytes
    """Empty with `w`: the journal is told nothing."""
    keep_tries: bool = False
    delay_ms: int = 0
    status: str = ""
    base: tuple[str, bytes] | None = None
    had_signal: bool = False
    consumed: str = ""
    """Address of the chord whose join this transition consumed; its fields go away."""
    needless: Sequence[str] = ()
    """Chords that nothing refers to any more; all that is kept of them goes away."""
    ending: bytes = b""
    """With `d`: the journal entry to write instead when the run is over by this and not
    parked by a pause; `entry` does not say that it is over."""


@dataclass(frozen=True, slots=True)
class ChordSpec:
    """The constants of one chord, fixed when it opens."""

    size: int
    batch: int
    """Lanes a message carries; 1 means every lane is claimed singly."""
    window: int
    parent: str
    parent_len: int
    """Length of the parent's edit log at opening: lanes see the Ctx up to there."""
    base_id: str
    queue: str
    timeout_ms: int
    mode: str
    node: int
    place: str
    """Place of the fanout; a lane's place is this + `/lane[i]`."""


@dataclass(frozen=True, slots=True)
class Open:
    """The transition that opens a chord; its parent waits until it is decided."""

    ref: Ref
    seq: int
    nonce: str
    offset: int
    edits: bytes
    frames: bytes
    place: str
    entry: bytes
    chord: str
    spec: ChordSpec
    pages: Sequence[bytes]
    """Items as JSON arrays of up to ITEM_PAGE; empty when uploaded beforehand."""
    timeout_ms: int = 60_000
    base: tuple[str, bytes] | None = None
    had_signal: bool = False
    consumed: str = ""
    needless: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Settle:
    """The end of a lane that has a record of its own.

    A fulfilled lane's result is its whole edit log; `failure` is JSON text otherwise.
    `decides` closes the chord at once.
    """

    ref: Ref
    seq: int
    nonce: str
    offset: int
    edits: bytes
    failure: bytes | None
    entry: bytes
    decides: bool
    had_signal: bool = False
    pending: Pending | None = None
    """How to end it later, should the run be paused now."""
    consumed: str = ""
    needless: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LaneResult:
    """A batched lane that ended: its edit log, or its failure as JSON text."""

    log: bytes
    failure: bytes | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """A batched lane that goes on alone: the first transition of its own record."""

    what: Literal["c", "p", "w"]
    edits: bytes
    pending: Pending
    tries: int = 0
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """Results of the lanes from `first` on, in order, then maybe one promoted lane."""

    batch: BatchRef
    nonce: str
    first: int
    results: Sequence[LaneResult]
    entry: bytes
    promote: Promote | None = None
    decided_by: int = -1
    """Lane whose failure decides an `all`; the last of `results`."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A chain that this nonce now owns."""

    record: Record
    log: bytes
    signal: bytes | None
    program_id: str
    chord: ChordSpec | None = None
    """For a lane: the constants of its chord."""


@dataclass(frozen=True, slots=True)
class BatchClaimed:
    """Lanes that this nonce now owns; `cursor` is the first that is not settled."""

    spec: ChordSpec
    cursor: int
    page: bytes
    program_id: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A transition was written. `deadline_ms` (Redis time) is that of a new claim."""

    deadline_ms: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """The transition decided the chord and its parent's pending join is now ours."""

    parent: str
    record: Record


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt whose lease is to be renewed: a chain address or `chord:lo-hi`."""

    run: str
    member: str
    nonce: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One transition as the journal keeps it. `at_ms` is Redis time."""

    id: str
    run: str
    gen: int
    number: int
    at_ms: int
    data: bytes


class Fired(NamedTuple):
    """How many timers moved something, and whether more may be due."""

    moved: int
    more: bool


@dataclass(frozen=True, slots=True)
class RunHead:
    """What the store says of a run at a glance."""

    status: str
    gen: int
    number: int
    program_id: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What a run's final Ctx is read from: its root chain as the store has it."""

    head: RunHead
    record: Record
    log: bytes
    base: bytes | None


@dataclass(frozen=True, slots=True)
class ChordResults:
    """Settled lanes: index -> (edit log or None, failure or None), and who decided."""

    lanes: dict[int, tuple[bytes | None, bytes | None]] = field(default_factory=dict)


class RunStore(Protocol):
    """Keeps live runs; every method is one atomic, idempotent action."""

    def now_ms(self) -> int:
        """Return the wall clock that journal entries are dated by, in milliseconds."""

    def start(self, start: Start) -> str:
        """Create a run and dispatch it; `ok`, also when it runs already, else its status.

        Raises StoreFull where there is no room for it.
        """

    def claim(self, ref: Ref, nonce: str, queue: str) -> Claimed | Refused:
        """Own a waiting chain until it is released or its lease ends.

        A lane without a record gets one (phase `c`, sequence number 0) when claimed.
        """

    def claim_next(
        self, queues: Sequence[str], nonce: str, most_ms: int
    ) -> tuple[Ref, Claimed] | None:
        """Take the next message and claim its chain; None if there is none to take.

        It is that of the first queue that has one; what lies behind it stays there.
        Messages of chains that can't be claimed are dropped on the way, at most 8. One
        whose attempt may take longer than `most_ms`, or that is a batch, stays.
        """

    def commit(self, move: Move) -> Moved | Refused:
        """Write one transition of an owned chain."""

    def open_chord(self, opening: Open) -> Moved | Refused:
        """Write the transition that opens a chord and dispatch its first window.

        It and `upload_items` raise StoreFull where there is no room for it.
        """

    def upload_items(
        self, run: str, chord: str, nonce: str, pages: Sequence[bytes]
    ) -> None:
        """Store a chord's items before `nonce` opens it (too large for one script)."""

    def drop_upload(self, run: str, chord: str, nonce: str) -> None:
        """Forget what `nonce` uploaded for a chord that it does not open."""

    def settle(self, settling: Settle) -> Moved | Joined | Refused:
        """End an owned lane; the one that decides the chord gets the parent's join."""

    def claim_batch(
        self, batch: BatchRef, nonce: str, queue: str
    ) -> BatchClaimed | Refused:
        """Own the unsettled lanes of a batch."""

    def commit_batch(self, commit: BatchCommit) -> Moved | Joined | Refused:
        """Settle lanes of an owned batch and move its cursor."""

    def release_batch(
        self, batch: BatchRef, nonce: str, cursor: int
    ) -> Moved | Refused:
        """Give back the lanes from `cursor` on: they are dispatched again as a batch."""

    def break_batch(
        self, batch: BatchRef, nonce: str, lane: int, outcome: bytes
    ) -> Moved | Refused:
        """Report the lane a dead worker was running; the others go out singly, uncharged."""

    def signal(
        self, ref: Ref, seq: int, nonce: str, outcome: bytes
    ) -> Literal["ok", "decided", "over", "gone"]:
        """Record an outcome for a waiting chain, or for one that `nonce` owns.

        The first signal of an attempt wins; a later one is `decided`.
        """

    def renew(self, leases: Sequence[Lease]) -> list[Literal["k", "c", "s"]]:
        """Renew leases: k kept, c cancelled (run over or chord closed), s not ours.

        A chain past its deadline and grace is nobody's: it is about to be taken back.
        """

    def died(self, lease: Lease, how: str) -> bool:
        """Tell how a claim's owner died: its lease is over; False if it is not its own.

        `how` ends the text of a step that is lost for good: `the last worker was ...`.
        """

    def expire(self, max_lost: int, before_ms: int = 0) -> int:
        """Take back at most 100 overdue leases; chains lost too often end `lost`.

        Nothing is done after the store's time `before_ms` (0: whenever): a call that hung
        with its server must not count as lost what nobody could renew.
        """

    def fire(self, before_ms: int = 0) -> Fired:
        """Act on at most 100 due deadlines of runs, and then as many delays of retries.

        Like `expire` and `repeat` it does nothing after the store's time `before_ms`.
        """

    def repeat(self, age_ms: int, before_ms: int = 0) -> int:
        """Dispatch again what was dispatched longer ago than `age_ms` and left no message."""

    def emit(
        self, owner: Ref | BatchRef, seq: int, nonce: str, mark: int, entry: bytes
    ) -> Literal["ok"] | Refusal:
        """Append what a running attempt says to the journal, if it still owns its claim.

        `mark` is distinct for each call under a nonce; a batch has no `seq` (0).
        """

    def discard(self, ref: Ref, entry: bytes) -> None:
        """Note in the journal of an open run that a result came too late."""

    def pause(self, run: str) -> str:
        """Stop new steps of a running run; `ok` or the status that forbids it."""

    def resume(self, run: str) -> str:
        """Let a paused run go on and dispatch what was held; `ok` or the status."""

    def finish_resumes(self) -> int:
        """Dispatch what a resume that was cut short has left held; returns how much."""

    def finish(self, run: str, status: str, why: str) -> str:
        """End an open run from outside (`cancelled`, `failed`); `ok` or its final status.

        A run that does not exist gets a tombstone, so that it never starts.
        """

    def head(self, run: str) -> RunHead | None:
        """Return a run's status, generation and journal number; None if unknown."""

    def record(self, run: str, addr: str) -> Record | None:
        """Return a chain's record."""

    def program(self, run: str, program_id: str) -> bytes | None:
        """Return the program a run was started with."""

    def base(self, run: str, base_id: str) -> bytes | None:
        """Return a stored Ctx base by its hash."""

    def log(self, run: str, addr: str, length: int) -> bytes:
        """Return the first `length` bytes of a chain's edit log."""

    def chord(self, run: str, chord: str) -> ChordSpec | None:
        """Return a chord's constants, also after it was joined."""

    def decided(self, run: str, chord: str) -> str | None:
        """Return how a chord ended (`all`, or the index of the lane that decided)."""

    def items(self, run: str, chord: str, page: int) -> bytes:
        """Return one page of a chord's items, a JSON array."""

    def results(self, run: str, chord: str, lo: int, hi: int) -> ChordResults:
        """Return the settled lanes of a chord from `lo` up to but not including `hi`."""

    def journal(self, after: str, count: int, block_ms: int = 0) -> list[JournalEntry]:
        """Return up to `count` journal entries after the given entry id (`0` = all)."""

    def archived(self) -> str:
        """Return the id up to which the journal is archived; `0` if nothing is."""

    def trim(self, upto: str, keep_ms: int = 0) -> None:
        """Note that the journal is archived up to and including an id, and drop that much.

        An id before the one noted already changes nothing of that.
        What is not older than `keep_ms` stays for those who follow it live.
        """

    def journal_bytes(self) -> int:
        """Return how much memory the unarchived journal takes, in bytes."""

    def remove(self, run: str) -> None:
        """Forget a final run and everything that belongs to it.

        For a while only a start of a higher generation is accepted under its id.
        """

    def finish_removals(self) -> int:
        """Remove what a removal that was cut short has left; returns of how many runs."""
