"""Starting a run: its first transition, made where it is launched."""

from __future__ import annotations

from typing import Any

import orjson

from engine.blueprint.program import Program
from engine.flow.document import Document
from engine.flow.json_text import text_depth
from engine.run.chain import Chain
from engine.run.ctx import base_id
from engine.run.events import Event, pack_entry
from engine.run.load import Prepared
from engine.run.machine import StepRequest
from engine.run.turn import ENGINE_TIMEOUT_MS, Limits, timeout_of
from engine.store.base import ENGINE_QUEUE, ROOT, Pending, Start


def start_of(
    run: str,
    gen: int,
    prepared: Prepared,
    ctx: Any,
    deadline_ms: int,
    limits: Limits | None = None,
) -> Start:
    """Return what starts a run; the chain is moved to its first step where it has one.

    So the first message already goes to the queue of that step's agent. A flow that
    forks or ends before any step starts at the engine's queue instead.
    """
    program: Program = prepared.program
    base = orjson.dumps(ctx)
    chain = Chain([], 0, "c", Document(orjson.loads(base), text_depth(base)))
    events: list[Event] = [["run_started", program.program_id, deadline_ms]]
    first = prepared.machine.advance(chain)
    if isinstance(first, StepRequest):
        agent = program.agents[first.ref]
        timeout_ms = timeout_of(agent, limits or Limits())
        pending = Pending(chain.pack(), agent.queue, first.place, timeout_ms)
        events.append(["pending", first.place, agent.name])
    else:
        chain = Chain([], 0, "c", Document(None))
        pending = Pending(chain.pack(), ENGINE_QUEUE, "", ENGINE_TIMEOUT_MS)
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
