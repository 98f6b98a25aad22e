"""The start of a run: the launch makes its first transition."""

from __future__ import annotations

from typing import Any

import orjson

from engine.blueprint.program import Program
from engine.flow.document import Document
from engine.flow.json_text import text_depth
from engine.run.chain.chain import ENTER, Chain
from engine.run.chain.ctx import base_id
from engine.run.chain.machine import StepRequest
from engine.run.drive.load import Prepared
from engine.run.drive.turn import engine_pending, step_pending
from engine.run.journal.entries import Event, pack_entry
from engine.run.limits import Limits
from engine.store.base import ROOT, Start


def start_of(
    run: str,
    gen: int,
    prepared: Prepared,
    ctx: Any,
    deadline_ms: int,
    limits: Limits | None = None,
) -> Start:
    """Return the start of a run, with its chain at the first step.

    So the first message goes to the queue of that step's agent. A flow that forks or ends
    before any step starts in the engine's queue.
    """
    program: Program = prepared.program
    limits = limits or Limits()
    base = orjson.dumps(ctx)
    chain = Chain([], 0, ENTER, Document(orjson.loads(base), text_depth(base)))
    events: list[Event] = [
        ["run_started", program.program_id, deadline_ms, limits.deciding()]
    ]
    first = prepared.machine.advance(chain)
    if isinstance(first, StepRequest):
        agent = program.agents[first.ref]
        pending = step_pending(chain, agent, first.place, limits)
        events.append(["pending", first.place, agent.name])
    else:
        chain = Chain([], 0, ENTER, Document(None))
        pending = engine_pending(chain, "")
    return Start(
        run=run,
        gen=gen,
        program_id=program.program_id,
        program=orjson.dumps(program.to_json()),
        base_id=base_id(ROOT, base),
        base=base,
        edits=bytes(chain.edits),
        pending=pending,
        entry=pack_entry(ROOT, 0, "", events),
        deadline_ms=deadline_ms,
    )
