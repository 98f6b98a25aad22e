"""Lane batches: many lanes of one chord in one delivery, committed together.

Up to RESULTS results or SECONDS of work are committed by one call that moves the
batch's cursor. A lane that does not end with its first step goes on alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from engine.flow.document import Document
from engine.flow.nodes import Fanout
from engine.run.attempts import judge, make_attempt
from engine.run.chain import Chain
from engine.run.chords import lane_decides
from engine.run.emitter import Emitter
from engine.run.engine import Engine
from engine.run.events import Event, pack_entry
from engine.run.load import Origin, Prepared, Vanished, lane_start
from engine.run.machine import (
    Ended,
    Next,
    StepRequest,
)
from engine.run.sizes import within_limit
from engine.run.turn import Budget, Turn, engine_pending, new_nonce, timeout_of
from engine.store.base import (
    ITEM_PAGE,
    BatchClaimed,
    BatchCommit,
    BatchRef,
    LaneResult,
    Moved,
    Pending,
    Promote,
    Ref,
    Refused,
)

RESULTS: Final = 16
SECONDS: Final = 0.02
BYTES: Final = 1 << 20
"""Results of so many bytes are committed at once: what is in hand stays small."""


@dataclass(slots=True)
class Batch:
    """A batch in a worker's hands: what it has found out since its last commit."""

    ref: BatchRef
    nonce: str
    claimed: BatchClaimed
    prepared: Prepared
    origin: Origin
    items: list[Any]
    first: int
    owned_at: float
    """When the claim or the last commit was asked for, in monotonic seconds."""
    since: float = field(default_factory=time.monotonic)
    """When the results in hand began to be gathered."""
    results: list[LaneResult] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def claim(self) -> tuple[BatchRef, int, str]:
        """Return what its attempts run under."""
        return self.ref, 0, self.nonce

    @property
    def full(self) -> bool:
        """Tell whether it is time to commit."""
        return (
            len(self.results) >= RESULTS
            or time.monotonic() - self.since >= SECONDS
            or sum(len(one.log) + len(one.failure or b"") for one in self.results)
            >= BYTES
        )


def deliver_batch(engine: Engine, ref: BatchRef, queue: str) -> str:
    """Claim a batch and run its lanes as far as the budget allows.

    Returns `ok`, or why there was nothing to do.
    """
    nonce, asked_at = new_nonce(), time.monotonic()
    claimed = engine.store.claim_batch(ref, nonce, queue)
    if isinstance(claimed, Refused):
        return claimed.why
    spec = claimed.spec
    engine.watch.batch(ref, nonce)
    try:
        prepared = engine.loader.prepared(ref.run, claimed.program_id)
        origin = engine.loader.lane_origin(
            prepared, Ref(ref.run, ref.gen, spec.parent), ref.chord, spec
        )
        batch = Batch(
            ref,
            nonce,
            claimed,
            prepared,
            origin,
            orjson.loads(claimed.page),
            claimed.cursor,
            asked_at,
        )
        _run(engine, batch, Budget(engine.limits, spec.timeout_ms, queue))
    except Vanished:
        return "gone"
    finally:
        engine.watch.clear()
    return "ok"


def _run(engine: Engine, batch: Batch, budget: Budget) -> None:
    spec = batch.claimed.spec
    for index in range(batch.claimed.cursor, batch.ref.hi):
        # The first lane runs under any budget, else a batch would go round for ever.
        spent = index > batch.claimed.cursor and not budget.allows(spec.timeout_ms)
        if engine.watch.draining() or spent:
            if _flush(engine, batch, budget):
                engine.store.release_batch(batch.ref, batch.nonce, batch.first)
            return
        ended = _lane(engine, batch, index, budget)
        if isinstance(ended, Promote):
            if not _promote(engine, batch, index, ended, budget):
                return
            continue
        if ended is not None and lane_decides(spec.mode, True):
            _flush(engine, batch, budget, decided_by=index)
            return
        if batch.full and not _flush(engine, batch, budget):
            return
    _flush(engine, batch, budget)


def _lane(
    engine: Engine, batch: Batch, index: int, budget: Budget
) -> list[str] | Promote | None:
    """Run one lane up to its first step; its error, None if it ended well, or Promote."""
    spec, machine = batch.claimed.spec, batch.prepared.machine
    chain = lane_chain(batch.prepared, spec.node, spec.place, index, batch.origin)
    item = batch.items[index % ITEM_PAGE]
    chain.doc = lane_start(batch.prepared, spec, batch.origin, item).document()
    nxt: Next = machine.advance(chain)
    if isinstance(nxt, StepRequest):
        agent = batch.prepared.program.agents[nxt.ref]
        spawner = engine.spawners.get(agent.kind)
        here = engine.may_run(agent, batch.prepared, budget)
        if not here or not spawner or not spawner.in_process:
            return _promotion(engine, batch, chain, nxt, budget)
        budget.spend()
        engine.check_lease(batch)
        engine.watch.lane(index, timeout_of(agent, engine.limits))
        ref = Ref(batch.ref.run, batch.ref.gen, f"{batch.ref.chord}.{index}")
        began = time.monotonic()
        outcome = make_attempt(
            engine.spawners,
            agent,
            ref,
            nxt.place,
            1,
            nxt.input,
            engine.limits,
            engine.watch.cancelled,
            Emitter(engine.outlet, batch, nxt.place, 1, agent.name),
        )
        decided = judge(
            outcome,
            agent,
            nxt.place,
            1,
            batch.events,
            attempt=1,
            run=ref.run,
            took_ms=round((time.monotonic() - began) * 1000),
        )
        if isinstance(decided, int):
            pending = Pending(
                chain.pack(), agent.queue, nxt.place, timeout_of(agent, engine.limits)
            )
            what = "w" if decided else "p"
            return Promote(what, bytes(chain.edits), pending, 1, decided)  # type: ignore[arg-type]
        nxt = machine.advance(chain, decided)
    nxt = within_limit(chain, nxt, engine.limits)
    if not isinstance(nxt, Ended):
        return _promotion(engine, batch, chain, nxt, budget)
    if nxt.error is not None:
        batch.events.append(["lane_ended", chain.prefix, nxt.error[1]])
        batch.results.append(LaneResult(b"", orjson.dumps(nxt.error)))
        return nxt.error
    batch.results.append(LaneResult(bytes(chain.edits)))
    return None


def lane_chain(
    prepared: Prepared, node: int, place: str, index: int, origin: Origin
) -> Chain:
    """Return a lane's chain before its first node, its Ctx still to be set."""
    assert isinstance(prepared.layout.nodes[node], Fanout)  # noqa: S101 - opened a chord
    chain = Chain([], prepared.layout.children[node][0], "c", Document(None))
    chain.prefix, chain.fanout = f"{place}/lane[{index}]", node
    chain.origin_size, chain.known = origin.size, dict(origin.known)
    return chain


def _promotion(
    engine: Engine, batch: Batch, chain: Chain, nxt: Next, budget: Budget
) -> Promote:
    """Return how a lane goes on alone after its first transition."""
    edits = bytes(chain.edits)
    if isinstance(nxt, StepRequest):
        agent = batch.prepared.program.agents[nxt.ref]
        pending = Pending(
            chain.pack(), agent.queue, nxt.place, timeout_of(agent, engine.limits)
        )
        batch.events.append(["pending", nxt.place, agent.name])
        if engine.goes_on(agent, batch.prepared, budget):
            batch.events.append(["started", nxt.place, 1])
            return Promote("c", edits, pending)
        return Promote("p", edits, pending)
    # A fork is made again from the fanout node by whoever owns the new record.
    chain.phase = "c"
    turn = Turn(Ref("", 0, ""), "", batch.prepared, chain, 0, batch.owned_at)
    goes_on = budget.allows(0) and not engine.watch.draining()
    return Promote("c" if goes_on else "p", edits, engine_pending(turn, chain.prefix))


def _promote(
    engine: Engine, batch: Batch, index: int, promote: Promote, budget: Budget
) -> bool:
    """Commit a lane as a chain of its own and, if it goes on here, drive it."""
    lane = Ref(batch.ref.run, batch.ref.gen, f"{batch.ref.chord}.{index}")
    if not _flush(engine, batch, budget, promote=promote):
        return False
    if promote.what != "c":
        return True
    record = engine.store.record(lane.run, lane.addr)
    if record is None or record.owner != batch.nonce:
        return True
    chain = engine.loader.chain(lane, batch.prepared, record)
    tries = 1 if chain.phase == "s" else 0
    turn = Turn(
        lane, batch.nonce, batch.prepared, chain, record.seq, batch.owned_at, tries
    )
    turn.timeout_ms = record.timeout_ms
    engine.watch.chain(lane, record.seq, batch.nonce, record.timeout_ms)
    engine.drive(turn, budget)
    engine.watch.no_chain()
    # The lane may have decided the chord, and its parent even ended the run.
    return batch.first == batch.ref.hi or engine.still_owns(batch)


def _flush(
    engine: Engine,
    batch: Batch,
    budget: Budget,
    *,
    decided_by: int = -1,
    promote: Promote | None = None,
) -> bool:
    """Commit what was found out; False when the batch is over for us."""
    engine.watch.lane(-1, 0)
    count = len(batch.results) + (promote is not None)
    batch.since = asked_at = time.monotonic()
    if not count:
        return True
    answer = engine.store.commit_batch(
        BatchCommit(
            batch=batch.ref,
            nonce=batch.nonce,
            first=batch.first,
            results=batch.results,
            entry=pack_entry(batch.ref.chord, batch.first, engine.who, batch.events),
            promote=promote,
            decided_by=decided_by,
        )
    )
    lane = Ref(batch.ref.run, batch.ref.gen, batch.ref.chord)
    if isinstance(answer, Refused):
        engine.note_discarded(lane, batch.first, batch.events, answer)
    batch.first += count
    batch.owned_at = asked_at
    batch.results, batch.events = [], []
    turn = engine.parent(lane, batch.nonce, batch.prepared, answer, asked_at)
    if turn is not None:
        engine.drive(turn, budget)
        return False
    if not isinstance(answer, Moved):
        return False
    if answer.held:
        engine.store.release_batch(batch.ref, batch.nonce, batch.first)
    return not answer.held
