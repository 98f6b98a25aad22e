"""Where a live run is kept: the plain data that crosses the port RunStore (port.py).

A store keeps chains, chords, leases, timers and the journal, and changes them only by
whole transitions. `redis.RedisStore` is the one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple

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
class Postponed:
    """A transition that can't be made now, after which the sequence number is the same.

    An attempt that has ended keeps its `outcome`, one that has not started is not charged.
    `entry` has output of the attempt, or is empty.
    """

    ref: Ref
    seq: int
    nonce: str
    delay_ms: int
    outcome: bytes = b""
    entry: bytes = b""


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


class Vanished(Exception):
    """Data of a chain is no longer in the store, since its run or chord is over."""
