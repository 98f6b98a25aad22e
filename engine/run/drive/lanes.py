"""Lane batches: many lanes of one chord in one delivery, committed together.

One call commits up to RESULTS results or SECONDS of work and moves the batch's cursor. A
lane that does not end with its first step is promoted to a chain with its own record.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

from engine.run.attempt.outcomes import Outcome
from engine.run.attempt.retry import judge
from engine.run.chain.chain import ENTER, Chain
from engine.run.chain.machine import Checkpoint, Ended, Fork, StepRequest
from engine.run.chain.outputs import Shelf, noted, output_owner
from engine.run.drive.chords import lane_decides
from engine.run.drive.commits import UNREADABLE
from engine.run.drive.engine import Engine
from engine.run.drive.load import Origin, Prepared, lane_chain
from engine.run.drive.turn import Budget, engine_pending, new_nonce, step_pending
from engine.run.journal.entries import Event, pack_entry
from engine.run.limits import timeout_of, within_limit
from engine.store.addresses import lane_at, owner_of
from engine.store.base import (
    ITEM_PAGE,
    BatchClaimed,
    BatchCommit,
    BatchRef,
    LaneResult,
    Moved,
    MoveKind,
    Promote,
    Ref,
    Refused,
    Vanished,
)

RESULTS: Final = 16
SECONDS: Final = 0.02
AWAY_S: Final = 1.0
"""How long a batch whose outputs are away keeps its worker before it is given back."""
BYTES: Final = 1 << 20
"""Results of this size are committed at once, so that memory stays small."""


@dataclass(slots=True)
class Batch:
    """A batch that this worker owns, with its uncommitted results."""

    ref: BatchRef
    nonce: str
    claimed: BatchClaimed
    prepared: Prepared
    origin: Origin
    items: list[Any]
    shelf: Shelf | None
    first: int
    owned_at: float
    """When the claim or the last commit was requested, in monotonic seconds."""
    since: float = field(default_factory=time.monotonic)
    """The time of the last commit, or of the claim."""
    results: list[LaneResult] = field(default_factory=list)
    size: int = 0
    """The size of the results in bytes."""
    events: list[Event] = field(default_factory=list)
    outcome: Outcome | None = None
    """The end of the attempt in the lane that is not added yet."""

    def claim(self) -> tuple[BatchRef, int, str]:
        """Return the claim under which its attempts run."""
        return self.ref, 0, self.nonce

    def at(self, addr: str) -> Ref:
        """Return the reference to a chain, or a chord, of its run."""
        return Ref(self.ref.run, self.ref.gen, addr, self.claimed.line)

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return (
            len(self.results) >= RESULTS
            or self.size >= BYTES
            or time.monotonic() - self.since >= SECONDS
        )

    def add(self, log: bytes, failure: bytes | None = None) -> None:
        """Add the result of the next lane."""
        self.results.append(LaneResult(log, failure))
        self.size += len(log) + len(failure or b"")


def deliver(engine: Engine, run: str, gen: int, addr: str, queue: str) -> str:
    """Deliver the message of a chain or of a batch; return `ok` or the refusal."""
    owner = owner_of(run, gen, addr)
    if isinstance(owner, Ref):
        return engine.deliver(owner, queue)
    return deliver_batch(engine, owner, queue)


def deliver_batch(engine: Engine, ref: BatchRef, queue: str) -> str:
    """Claim a batch and run its lanes within the budget.

    Returns `ok`, or the refusal of the claim.
    """
    nonce, requested_at = new_nonce(), time.monotonic()
    claimed = engine.store.claim_batch(ref, nonce, queue)
    if isinstance(claimed, Refused):
        return claimed.why
    spec = claimed.spec
    engine.watch.batch(ref, nonce)
    try:
        prepared = engine.loader.prepared(ref.key, claimed.program_id)
        up = Ref(ref.run, ref.gen, spec.parent)
        try:
            origin = engine.loader.lane_origin(prepared, up, ref.chord, spec)
        except UNREADABLE as error:
            engine.commits.waits.postponed_ms(up, 0, error)
            time.sleep(AWAY_S)
            engine.store.release_batch(ref, nonce, claimed.cursor)
            return "ok"
        items = engine.loader.items(claimed.page)
        shelf = engine.loader.shelf(ref.key, ref.chord)
        batch = Batch(
            ref, nonce, claimed, prepared, origin, items, shelf, claimed.cursor, requested_at
        )  # fmt: skip
        budget = Budget(engine.limits, spec.timeout_ms, queue)
        try:
            _run(engine, batch, budget)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                _give_back(engine, batch, budget)
            raise
    except Vanished:
        return "gone"
    finally:
        engine.watch.clear()
    return "ok"


def _run(engine: Engine, batch: Batch, budget: Budget) -> None:
    spec = batch.claimed.spec
    for index in range(batch.claimed.cursor, batch.ref.hi):
        # The first lane runs under any budget, else the batch would never progress.
        spent = index > batch.claimed.cursor and not budget.allows(spec.timeout_ms)
        if engine.watch.draining() or spent:
            _give_back(engine, batch, budget)
            return
        known, batch.outcome = len(batch.events), None
        try:
            ended = _lane(engine, batch, index, budget)
        except UNREADABLE as error:
            _postpone(engine, batch, index, budget, known, error)
            return
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


def _give_back(engine: Engine, batch: Batch, budget: Budget) -> None:
    """Commit the results and release the lanes that have none."""
    if _flush(engine, batch, budget):
        engine.store.release_batch(batch.ref, batch.nonce, batch.first)


def _postpone(
    engine: Engine,
    batch: Batch,
    index: int,
    budget: Budget,
    known: int,
    error: Exception,
) -> None:
    """Give back the lanes from `index` on, which needs outputs that are away.

    If its attempt was made, the lane keeps the outcome, and each lane goes on alone.
    """
    ref, outcome = batch.ref, batch.outcome
    # Those of an outcome are made again with it.
    batch.events[known:] = [one for one in batch.events[known:] if one[0] == "output"]
    up = Ref(ref.run, ref.gen, batch.claimed.spec.parent)
    engine.commits.waits.postponed_ms(up, 0, error)
    if not _flush(engine, batch, budget):
        return
    if outcome is not None:
        engine.store.break_batch(ref, batch.nonce, index, outcome.pack())
        return
    time.sleep(AWAY_S)
    engine.store.release_batch(ref, batch.nonce, batch.first)


def _lane(
    engine: Engine, batch: Batch, index: int, budget: Budget
) -> list[str] | Promote | None:
    """Run one lane through its first step; return its error, None, or its promotion."""
    machine = batch.prepared.machine
    chain = _lane_chain(batch, index)
    nxt = machine.advance(chain)
    if isinstance(nxt, StepRequest):
        agent = batch.prepared.program.agents[nxt.ref]
        spawner = engine.spawners.get(agent.kind)
        here = engine.may_run(agent, batch.prepared, budget)
        if not here or not spawner or not spawner.in_process:
            return _promotion(engine, batch, chain, nxt, budget)
        budget.spend()
        # Before the keeper sees the lane: a renewal may take longer than its timeout.
        engine.leases.check(batch)
        engine.watch.lane(index, timeout_of(agent, engine.limits))
        ref = batch.at(lane_at(batch.ref.chord, index))
        began = time.monotonic()
        batch.outcome = outcome = engine.attempt(batch, ref, agent, nxt, 1)
        took_ms, events = round((time.monotonic() - began) * 1000), batch.events
        decided = judge(
            outcome,
            agent,
            nxt,
            1,
            events,
            engine.limits,
            attempt=1,
            run=ref.run,
            took_ms=took_ms,
            shelf=batch.shelf,
        )
        if isinstance(decided, int):
            pending = step_pending(chain, agent, nxt.place, engine.limits)
            kind = MoveKind.WAIT if decided else MoveKind.DISPATCH
            return Promote(kind, bytes(chain.edits), pending, 1, decided)
        nxt = machine.advance(chain, decided)
    nxt = within_limit(chain, nxt, engine.limits)
    if not isinstance(nxt, Ended):
        return _promotion(engine, batch, chain, nxt, budget)
    if nxt.error is not None:
        batch.events.append(["lane_ended", chain.prefix, nxt.error[1]])
        batch.add(b"", orjson.dumps(nxt.error))
        return nxt.error
    batch.add(bytes(chain.edits))
    return None


def _lane_chain(batch: Batch, index: int) -> Chain:
    item = batch.items[index % ITEM_PAGE]
    if (shelf := batch.shelf) is not None:
        addr = lane_at(batch.ref.chord, index)
        shelf.name = partial(output_owner, batch.ref.key, addr, 0)
    return lane_chain(
        batch.prepared, batch.claimed.spec, batch.origin, item, index, shelf
    )


def _promotion(
    engine: Engine,
    batch: Batch,
    chain: Chain,
    nxt: StepRequest | Fork | Checkpoint,
    budget: Budget,
) -> Promote:
    """Return the promotion of a lane after its first transition."""
    if isinstance(nxt, StepRequest):
        agent = batch.prepared.program.agents[nxt.ref]
        pending = step_pending(chain, agent, nxt.place, engine.limits)
        batch.events.append(["pending", nxt.place, agent.name])
        continues = engine.may_continue(agent, batch.prepared, budget)
        if continues:
            batch.events.append(["started", nxt.place, 1])
    else:
        # The owner of the new record makes a fork again, from the fanout node.
        chain.phase = ENTER
        nodes = nxt.nodes if isinstance(nxt, Checkpoint) else 0
        batch.events.append(["checkpoint", nxt.place, nodes])
        pending = engine_pending(chain, chain.prefix)
        continues = budget.allows(0) and not engine.watch.draining()
    kind = MoveKind.CONTINUE if continues else MoveKind.DISPATCH
    return Promote(kind, bytes(chain.edits), pending)


def _promote(
    engine: Engine, batch: Batch, index: int, promote: Promote, budget: Budget
) -> bool:
    """Commit a lane as a chain with its own record; drive it if it continues here."""
    lane = batch.at(lane_at(batch.ref.chord, index))
    if not _flush(engine, batch, budget, promote=promote):
        return False
    if promote.kind is not MoveKind.CONTINUE:
        return True
    record = engine.store.record(lane.key, lane.addr)
    if record is None or record.owner != batch.nonce:
        return True
    engine.watch.chain(lane, record.seq, batch.nonce, record.timeout_ms)
    turn = engine.commits.claimed(
        lane, batch.nonce, batch.prepared, record, batch.owned_at
    )
    engine.drive(turn, budget)
    engine.watch.no_chain()
    # The lane may have decided the chord, and its parent even ended the run.
    return batch.first == batch.ref.hi or engine.leases.still_owns(batch)


def _flush(
    engine: Engine,
    batch: Batch,
    budget: Budget,
    *,
    decided_by: int = -1,
    promote: Promote | None = None,
) -> bool:
    """Commit the results; return whether this worker continues with the batch."""
    engine.watch.lane(-1, 0)
    count = len(batch.results) + (promote is not None)
    batch.since = requested_at = time.monotonic()
    if not count:
        return True
    answer = engine.store.commit_batch(
        BatchCommit(
            batch=batch.ref,
            nonce=batch.nonce,
            first=batch.first,
            results=batch.results,
            entry=pack_entry(
                batch.ref.chord,
                batch.first,
                engine.who,
                batch.events,
                settled=len(batch.results),
                **noted(batch.shelf),
            ),
            promote=promote,
            decided_by=decided_by,
        )
    )
    lane = batch.at(batch.ref.chord)
    if isinstance(answer, Refused):
        engine.commits.discard(lane, batch.first, batch.events, answer)
    batch.first += count
    batch.owned_at = requested_at
    batch.results, batch.size, batch.events = [], 0, []
    if batch.shelf is not None:
        batch.shelf.clear()
    turn = engine.commits.parent(
        lane, batch.nonce, batch.prepared, answer, requested_at
    )
    if turn is not None:
        engine.drive(turn, budget)
        return False
    if not isinstance(answer, Moved):
        return False
    if answer.held:
        engine.store.release_batch(batch.ref, batch.nonce, batch.first)
    return not answer.held
