"""The lanes of a batch during a replay: one entry settles several of them."""

from __future__ import annotations

import orjson

from engine.run.chain.chain import ENTER, Chain
from engine.run.chain.machine import Ended, Next, StepRequest
from engine.run.drive.turn import engine_pending, step_pending
from engine.run.journal.entries import Content
from engine.run.limits import within_limit
from engine.run.replay.moves import Moves, named
from engine.run.replay.tape import Tape
from engine.store.addresses import lane_at
from engine.store.base import LaneResult, Pending
from engine.store.record import ChainState


def replay_batch(moves: Moves, tape: Tape, content: Content) -> None:
    """Settle the lanes that an entry settles; then one more may get its own record."""
    chord, after = content.addr, content.seq + content.settled
    for lane in range(content.seq, after):
        moves.state.settle(chord, lane, _result(moves, chord, lane, tape))
    if tape.kind:
        _promote(moves, chord, after, tape)


def _result(moves: Moves, chord: str, lane: int, tape: Tape) -> LaneResult:
    chain, nxt = _first_move(moves, chord, lane, tape)
    if not isinstance(nxt, Ended):
        raise tape.wrong(f"the end of {chain.prefix}", named(nxt))
    if nxt.error is None:
        return LaneResult(bytes(chain.edits))
    tape.take("lane_ended", chain.prefix, nxt.error[1])
    return LaneResult(b"", orjson.dumps(nxt.error))


def _first_move(moves: Moves, chord: str, lane: int, tape: Tape) -> tuple[Chain, Next]:
    """Return a lane after its first step, or before it if that has no end here."""
    if not moves.state.may_run(chord, lane):
        raise tape.differs(f"no lane {lane} of the fanout {chord} that could move")
    chain = moves.state.lane_chain(chord, lane)
    tape.place = chain.prefix
    nxt = moves.advance(chain, None, tape)
    if isinstance(nxt, StepRequest):
        tape.place = nxt.place
        if tape.kind in ("pending", "retry"):
            return chain, nxt
        signal = moves.ended(chain, 1, lane_at(chord, lane), tape)
        nxt = moves.advance(chain, signal, tape)
    return chain, within_limit(chain, nxt, moves.limits)


def _promote(moves: Moves, chord: str, lane: int, tape: Tape) -> None:
    """Give a lane that goes on alone its own record, as it is after its first transition."""
    chain, nxt = _first_move(moves, chord, lane, tape)
    state, tries, due_ms = ChainState.PENDING, 0, 0
    if isinstance(nxt, Ended):
        raise tape.differs(named(nxt))
    pending: Pending
    if isinstance(nxt, StepRequest):
        agent = moves.program.agents[nxt.ref]
        pending = step_pending(chain, agent, nxt.place, moves.limits)
        if tape.kind == "retry":
            delay_ms, tries = tape.take("retry", nxt.place, 1, agent.name)[5], 1
            if delay_ms:
                state, due_ms = ChainState.WAITING, tape.entry.at_ms + delay_ms
        else:
            tape.take("pending", nxt.place, agent.name)
            if tape.take_if("started", nxt.place, 1):
                state = ChainState.RUNNING
    else:
        tape.take("checkpoint", nxt.place)
        chain.phase = ENTER
        pending = engine_pending(chain, chain.prefix)
    if moves.state.paused and state is not ChainState.WAITING:
        state = ChainState.HELD
    live = moves.state.add(lane_at(chord, lane), chain, pending)
    live.log += chain.edits
    chain.mark_committed()
    live.state, live.due_ms, live.turn.seq = state, due_ms, 1
    live.turn.tries = tries + (state is ChainState.RUNNING)
