"""Where a live run is kept: the RunStore port and the plain data that crosses it.

A store keeps chains, chords, leases, timers and the journal, and changes them only by
whole transitions. `redis.RedisStore` is the one store; the port has the methods that the
engine calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from engine.store.record import Record

ROOT: Final = "0"
"""Address of a run's root chain."""

ENGINE_QUEUE: Final = "swarm.engine"
"""Queue of transitions that need no agent; every worker consumes it."""

ENGINE_TIMEOUT_MS: Final = 60_000
"""How long a transition without an agent may take before its claim is lost."""

TIME_LIMIT_NET_S: Final = 30
"""The hard time limit of a queue message is its first attempt's timeout plus this."""

ITEM_PAGE: Final = 64
"""Items of a chord are stored in pages of this many; the lanes of a batch share a page."""

REPLACED: Final = "replaced"
"""Status of a generation in Redis that had not ended when a later one was opened."""

Refusal = Literal["gone", "stale", "over", "closed", "held", "taken"]
"""Why the store refused a call.

gone: the run, chain or chord does not exist. stale: the owner, generation or sequence
number is another. over: the run is final, or the lane or batch is settled. closed: an
enclosing chord is decided. held: the run is paused, so the chain is parked. taken: the
chain does not wait for a claim.
"""


class MoveKind(StrEnum):
    """What a chain does after a transition; the value is an argument of the scripts."""

    CONTINUE = "c"
    """The worker continues with `pending` under the same claim."""
    DISPATCH = "p"
    """`pending` is dispatched to its queue."""
    WAIT = "w"
    """The chain waits `delay_ms` and is dispatched then; 0 waits for a signal."""
    END = "d"
    """The root chain has ended with `status`."""


# A module's name costs a seventh of an enum's attribute, and each step asks for it.
CONTINUE: Final = MoveKind.CONTINUE
DISPATCH: Final = MoveKind.DISPATCH


class Renewal(StrEnum):
    """The answer to the renewal of a lease; the value is the reply of the script."""

    KEPT = "k"
    CANCELLED = "c"
    """The run is over, or an enclosing chord is decided."""
    STALE = "s"
    """The lease belongs to another nonce, or does not exist."""


class StoreFull(Exception):
    """The store has no room for a new run or chord; other calls still work."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer of a script that changed nothing, except that `held` parks a chain."""

    why: Refusal


def generation_key(run: str, gen: int) -> str:
    """Return the key of a generation, which every key of its data contains."""
    return f"{run}:{gen}"


def split_key(key: str) -> tuple[str, int]:
    """Return run and number of the generation with a key."""
    run, _, gen = key.rpartition(":")
    return run, int(gen)


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to one chain: run, generation and address."""

    run: str
    gen: int
    addr: str
    line: int = field(default=0, compare=False)
    """The generation that began its line, where that is another; a claim tells it."""

    @property
    def key(self) -> str:
        """Return the key of its generation."""
        return generation_key(self.run, self.gen)

    def on(self, line: int) -> Ref:
        """Return the reference with the line that a claim told."""
        return Ref(self.run, self.gen, self.addr, line) if line else self


@dataclass(frozen=True, slots=True)
class BatchRef:
    """A reference to the lanes `lo` up to but not including `hi` of one chord."""

    run: str
    gen: int
    chord: str
    lo: int
    hi: int

    @property
    def key(self) -> str:
        """Return the key of its generation."""
        return generation_key(self.run, self.gen)


@dataclass(frozen=True, slots=True)
class Pending:
    """What a chain does next, once a worker has claimed it."""

    frames: bytes
    queue: str
    place: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Start:
    """All data of a new run."""

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

    `edits` are written at `offset` of the edit log.
    """

    ref: Ref
    seq: int
    nonce: str
    kind: MoveKind
    offset: int
    edits: bytes
    pending: Pending
    entry: bytes
    """Empty for a WAIT that the journal does not record."""
    keep_tries: bool = False
    gives_back: bool = False
    """The attempt was interrupted: it is charged neither as a try nor as lost."""
    delay_ms: int = 0
    status: str = ""
    base: tuple[str, bytes] | None = None
    had_signal: bool = False
    consumed: str = ""
    """Address of the chord whose join this transition consumed; its fields are deleted."""
    unreferenced: Sequence[str] = ()
    """Chords that nothing refers to any more; all their data is deleted."""
    ending: bytes = b""
    """With END: `entry` plus the end of the run. It is written instead of `entry`, unless
    a pause parks the chain."""


@dataclass(frozen=True, slots=True)
class ChordSpec:
    """The constants of one chord, fixed when it opens."""

    size: int
    batch: int
    """Lanes in a message; 1 means that every lane is claimed alone."""
    window: int
    """How many lanes may be dispatched and not settled."""
    parent: str
    parent_len: int
    """Length of the parent's edit log at opening: the lanes start from that Ctx."""
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
    base: tuple[str, bytes] | None = None
    had_signal: bool = False
    consumed: str = ""
    unreferenced: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Settle:
    """The transition that ends a lane with a record of its own.

    The result of a fulfilled lane is its whole edit log; `failure` is the JSON text of a
    failed one. `decides` closes the chord at once.
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
    frames: bytes = b""
    """How the lane ends after a resume, if the run is paused now."""
    consumed: str = ""
    unreferenced: Sequence[str] = ()


# Not frozen, which would triple its cost: each lane makes one.
@dataclass(slots=True)
class LaneResult:
    """The result of a lane of a batch: its edit log, or its failure as JSON text."""

    log: bytes
    failure: bytes | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """The first transition of a lane that leaves its batch and gets its own record."""

    kind: MoveKind
    """Any but END: only a root chain ends a run."""
    edits: bytes
    pending: Pending
    tries: int = 0
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class BatchCommit:
    """Results of the lanes from `first` on, in order, then one promoted lane or none."""

    batch: BatchRef
    nonce: str
    first: int
    results: Sequence[LaneResult]
    entry: bytes
    promote: Promote | None = None
    decided_by: int = -1
    """The lane whose failure decides an `all` (the last of `results`); -1 for none."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A chain that this nonce now owns."""

    record: Record
    log: bytes
    signal: bytes | None
    program_id: str
    chord: ChordSpec | None = None
    """For a lane: the constants of its chord."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class BatchClaimed:
    """A batch that this nonce now owns; `cursor` is the first lane that is not settled."""

    spec: ChordSpec
    cursor: int
    page: bytes
    program_id: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """The transition is written. `deadline_ms` (script time) is 0 without a new claim."""

    deadline_ms: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """The transition decided the chord, and this nonce now owns the parent's join."""

    parent: str
    record: Record


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease of a claim; `member` is the address of a chain or of a batch."""

    key: str
    """The key of its generation."""
    member: str
    nonce: str


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry of the journal. `at_ms` is the wall clock of Redis."""

    id: str
    run: str
    gen: int
    number: int
    at_ms: int
    data: bytes


class Fired(NamedTuple):
    """How many chains or runs due timers changed, and whether more timers may be due."""

    moved: int
    more: bool


@dataclass(frozen=True, slots=True)
class RunHead:
    """Status, number, journal number and program of a generation."""

    status: str
    gen: int
    number: int
    program_id: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The data of a run's final Ctx: its root chain, with edit log and base."""

    head: RunHead
    record: Record
    log: bytes
    base: bytes | None


ChordResults: TypeAlias = dict[int, tuple[bytes | None, bytes | None]]
"""Settled lanes by their index: the edit log or None, and the failure or None."""


class ChainReads(Protocol):
    """What the chains of a run are built from; a store has it, and so has a snapshot.

    A `key` is that of a generation (`generation_key`).
    """

    def head_of(self, key: str) -> RunHead | None:
        """Return the head of a generation, also if it is not the current one."""

    def base(self, key: str, base_id: str) -> bytes | None:
        """Return a Ctx base or a program of a generation by its hash."""

    def log(self, key: str, addr: str, length: int) -> bytes:
        """Return the first `length` bytes of a chain's edit log."""

    def chord(self, key: str, chord: str) -> ChordSpec | None:
        """Return a chord's constants, also after its join."""

    def decided(self, key: str, chord: str) -> str | None:
        """Return `all` or the index of the deciding lane; None for an open chord."""

    def items(self, key: str, chord: str, page: int) -> bytes:
        """Return one page of a chord's items, a JSON array."""

    def results(self, key: str, chord: str, lo: int, hi: int) -> ChordResults:
        """Return the settled lanes of a chord from `lo` up to but not including `hi`."""


class RunStore(ChainReads, Protocol):
    """The calls of the engine to the store; each is one atomic, idempotent action.

    A `key` is that of a generation (`generation_key`).
    """

    def claim(self, ref: Ref, nonce: str, queue: str) -> Claimed | Refused:
        """Claim a waiting chain; `nonce` owns it until its release or the lease's end.

        A lane without a record gets one (phase ENTER, sequence number 0).
        """

    def claim_next(
        self, queues: Sequence[str], nonce: str, most_ms: int
    ) -> tuple[Ref, Claimed] | None:
        """Take the next message and claim its chain; return None if there is none.

        The next message is the oldest of the first queue that is not empty. Up to 8
        messages of chains that can't be claimed are dropped. A message stays in its queue
        if it names a batch or its attempt may take longer than `most_ms`.
        """

    def commit(self, move: Move) -> Moved | Refused:
        """Write one transition of an owned chain."""

    def open_chord(self, opening: Open) -> Moved | Refused:
        """Write the transition that opens a chord and dispatch its first window.

        Raises StoreFull if the store has no room, as `upload_items` does.
        """

    def upload_items(
        self, key: str, chord: str, nonce: str, pages: Sequence[bytes]
    ) -> None:
        """Store the items of a chord that `nonce` opens next, if one call can't carry them."""

    def drop_upload(self, key: str, chord: str, nonce: str) -> None:
        """Delete the items that `nonce` uploaded for a chord that it does not open."""

    def settle(self, settling: Settle) -> Moved | Joined | Refused:
        """End an owned lane; if that decides the chord, claim the parent's join."""

    def claim_batch(
        self, batch: BatchRef, nonce: str, queue: str
    ) -> BatchClaimed | Refused:
        """Claim the unsettled lanes of a batch."""

    def commit_batch(self, commit: BatchCommit) -> Moved | Joined | Refused:
        """Settle lanes of an owned batch and move its cursor."""

    def release_batch(
        self, batch: BatchRef, nonce: str, cursor: int
    ) -> Moved | Refused:
        """Release the lanes from `cursor` on; they are dispatched again as one batch."""

    def renew(self, leases: Sequence[Lease]) -> list[Renewal]:
        """Renew leases and return an answer for each.

        The answer for a chain past its deadline and grace is STALE: the steward is about
        to dispatch it again.
        """

    def emit(
        self, owner: Ref | BatchRef, seq: int, nonce: str, mark: int, entry: bytes
    ) -> Literal["ok"] | Refusal:
        """Append the output of a running attempt to the journal if it owns its claim.

        `mark` is distinct for each call under a nonce; the `seq` of a batch is 0.
        """

    def discard(self, ref: Ref, entry: bytes) -> None:
        """Append to the journal of an open run that a result came too late."""

    def finish(self, run: str, gen: int, status: str, why: str) -> str:
        """End an open generation from outside; return `ok`, or its status if it has ended.

        `status` is `cancelled` or `failed`. A generation that does not exist yet gets a
        tombstone, so that it never starts. The answer is `stale` if a later one is open.
        """

    def head(self, run: str) -> RunHead | None:
        """Return the head of a run's current generation; None for an unknown run."""

    def record(self, key: str, addr: str) -> Record | None:
        """Return a chain's record."""


class Vanished(Exception):
    """Data of a chain is no longer in the store, since its run or chord is over."""
