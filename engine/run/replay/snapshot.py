"""A snapshot: all that is kept of a run at one journal entry, as plain data.

It needs no database and no Redis: with the program it gives the Ctx of every chain, and a
replay continues from it. Its JSON is the form for recovery, forks and checkpoints.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import orjson

from engine.run.chain.ctx import log_outputs, stored_outputs
from engine.run.chain.outputs import NEVER
from engine.run.states import RunStatus
from engine.store.base import (
    ChordSpec,
    LaneResult,
    RunHead,
)
from engine.store.port import ChordResults
from engine.store.record import ChainState, Record

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ChainSnapshot:
    """A chain at rest: its record and its edit log.

    `base_id` names the base from which the log starts; a lane without one starts from its
    chord. `signal` is the stored outcome that the next claim takes: empty for none, and
    for one of a SIGNALLED chain that the journal does not have. `due_ms` is when a WAITING
    chain is dispatched, as wall clock of the journal. Of a RUNNING chain, `tries` counts
    the attempt in hand.
    """

    addr: str
    seq: int
    state: ChainState
    tries: int
    lost: int
    place: str
    queue: str
    timeout_ms: int
    frames: bytes
    base_id: str
    log: bytes
    signal: bytes = b""
    due_ms: int = 0

    def record(self) -> Record:
        """Return the record of the chain, without an owner."""
        return Record(
            seq=self.seq,
            owner="",
            last="",
            state=self.state,
            tries=self.tries,
            lost=self.lost,
            deadline_ms=0,
            timeout_ms=self.timeout_ms,
            loglen=len(self.log),
            base_id=self.base_id,
            queue=self.queue,
            place=self.place,
            frames=self.frames,
        )


@dataclass(slots=True)
class ChordSnapshot:
    """A chord: its constants, items and settled lanes.

    `decided` is empty while it is open, `all`, or the index of the deciding lane. After
    the join is `consumed`, the chord is kept only because an edit log refers to it.
    """

    spec: ChordSpec
    pages: tuple[bytes, ...]
    results: dict[int, LaneResult] = field(default_factory=dict)
    decided: str = ""
    consumed: bool = False


@dataclass(slots=True)
class Snapshot:
    """A generation of a run after its entry `number`; chains and chords by address.

    `at_ms` is the time of its last entry, `deadline_ms` the time a run gets from its start.
    `usage` sums what the attempts reported.
    """

    run: str
    gen: int
    program_id: str
    number: int = 0
    at_ms: int = 0
    deadline_ms: int = 0
    status: str = RunStatus.PENDING.value
    error: list[str] | None = None
    """Kind and text of a failed run, then place and part of the Ctx where they are known."""
    ctx_bytes: int = 0
    input_bytes: int = 0
    inline_bytes: int = NEVER
    """The limits with which the run was started."""
    usage: dict[str, int] = field(default_factory=dict)
    chains: dict[str, ChainSnapshot] = field(default_factory=dict)
    chords: dict[str, ChordSnapshot] = field(default_factory=dict)
    bases: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Snapshot:
        """Return a copy that later changes leave alone."""
        chords = {
            addr: replace(chord, results=dict(chord.results))
            for addr, chord in self.chords.items()
        }
        return replace(
            self,
            usage=dict(self.usage),
            chains=dict(self.chains),
            chords=chords,
            bases=dict(self.bases),
        )

    def waiting_lanes(self, chord: str) -> list[int]:
        """Return the lanes of a chord that have neither settled nor a chain of their own."""
        kept = self.chords[chord]
        return [
            lane
            for lane in range(kept.spec.size)
            if lane not in kept.results and f"{chord}.{lane}" not in self.chains
        ]

    def outputs(self) -> frozenset[str]:
        """Return the names of the contents to which its logs, bases and items refer."""
        logs = [one.log for one in self.chains.values()]
        stored = list(self.bases.values())
        for chord in self.chords.values():
            logs += [one.log for one in chord.results.values()]
            stored += chord.pages
        return frozenset(
            (
                *(name for log in logs for name in log_outputs(log)),
                *(name for data in stored for name in stored_outputs(data)),
            )
        )

    # The reads of engine.store.base.ChainReads; the key is always that of this generation.

    def head_of(self, key: str) -> RunHead | None:
        """See ChainReads.head_of."""
        return RunHead(self.status, self.gen, self.number, self.program_id)

    def base(self, key: str, base_id: str) -> bytes | None:
        """See ChainReads.base."""
        return self.bases.get(base_id)

    def log(self, key: str, addr: str, length: int) -> bytes:
        """See ChainReads.log."""
        return self.chains[addr].log[:length] if addr in self.chains else b""

    def chord(self, key: str, chord: str) -> ChordSpec | None:
        """See ChainReads.chord."""
        found = self.chords.get(chord)
        return None if found is None else found.spec

    def decided(self, key: str, chord: str) -> str | None:
        """See ChainReads.decided."""
        found = self.chords.get(chord)
        return found.decided or None if found else None

    def items(self, key: str, chord: str, page: int) -> bytes:
        """See ChainReads.items."""
        return self.chords[chord].pages[page]

    def results(self, key: str, chord: str, lo: int, hi: int) -> ChordResults:
        """See ChainReads.results."""
        kept = self.chords[chord].results
        found = ((lane, kept.get(lane)) for lane in range(lo, hi))
        return {
            lane: (None, one.failure) if one.failure is not None else (one.log, None)
            for lane, one in found
            if one is not None
        }

    def to_json(self) -> bytes:
        """Return the snapshot as JSON; logs, items and bases are texts in it."""
        return orjson.dumps(
            {"format": FORMAT, **asdict(self)},
            default=bytes.decode,
            option=orjson.OPT_NON_STR_KEYS,
        )

    @staticmethod
    def from_json(text: bytes) -> Snapshot:
        """Read the JSON of `to_json`; raise ValueError for another format."""
        data: dict[str, Any] = orjson.loads(text)
        if (found := data.pop("format", None)) != FORMAT:
            raise ValueError(
                f"snapshot format {found!r} can't be read, only {FORMAT}: take the"
                " snapshot again with this version"
            )
        data["chains"] = {a: _chain(one) for a, one in data["chains"].items()}
        data["chords"] = {k: _chord(one) for k, one in data["chords"].items()}
        data["bases"] = {name: base.encode() for name, base in data["bases"].items()}
        return Snapshot(**data)


def _chain(data: dict[str, Any]) -> ChainSnapshot:
    texts = {name: data[name].encode() for name in ("frames", "log", "signal")}
    return ChainSnapshot(**{**data, **texts, "state": ChainState(data["state"])})


def _chord(data: dict[str, Any]) -> ChordSnapshot:
    results = {
        int(lane): LaneResult(
            one["log"].encode(),
            None if one["failure"] is None else one["failure"].encode(),
        )
        for lane, one in data["results"].items()
    }
    pages = tuple(page.encode() for page in data["pages"])
    return ChordSnapshot(
        ChordSpec(**data["spec"]), pages, results, data["decided"], data["consumed"]
    )
