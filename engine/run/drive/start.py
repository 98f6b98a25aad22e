"""The start of a run: the launch makes its first transition."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson

from engine.blueprint.program import Program
from engine.flow.document import Document
from engine.flow.json_text import text_depth
from engine.run.chain.chain import ENTER, Chain
from engine.run.chain.ctx import base_id, stored_text
from engine.run.chain.machine import StepRequest
from engine.run.chain.outputs import NEVER, Outputs, Shelf, noted, output_owner
from engine.run.drive.load import Prepared
from engine.run.drive.turn import engine_pending, step_pending
from engine.run.journal.entries import Event, pack_entry
from engine.run.limits import Limits
from engine.store.base import ROOT, Start, generation_key


def first_chain(key: str, ctx: Any, outputs: Outputs | None) -> tuple[bytes, Chain]:
    """Return the first base of a run and its root chain before any node.

    What is too large for a Ctx goes into `outputs`; raises OutputsAway then.
    """
    text = orjson.dumps(ctx)
    value, depth, shelf = orjson.loads(text), text_depth(text), None
    if outputs is not None:
        shelf = Shelf(outputs, partial(output_owner, key, ROOT, -1))
        if len(text) > shelf.limit:
            value = shelf.kept(value, is_ctx=True)
            text = stored_text(value, NEVER)
    return text, Chain([], 0, ENTER, Document(value, depth), shelf=shelf)


def start_of(
    run: str,
    gen: int,
    prepared: Prepared,
    ctx: Any,
    deadline_ms: int,
    limits: Limits | None = None,
    outputs: Outputs | None = None,
) -> Start:
    """Return the start of a run, with its chain at the first step.

    So the first message goes to the queue of that step's agent. A flow that forks or ends
    before any step starts in the engine's queue.
    """
    program: Program = prepared.program
    limits = limits or Limits()
    key = generation_key(run, gen)
    base, chain = first_chain(key, ctx, outputs)
    deciding = limits.deciding(NEVER if outputs is None else outputs.limit)
    events: list[Event] = [["run_started", program.program_id, deadline_ms, deciding]]
    first = prepared.machine.advance(chain)
    if isinstance(first, StepRequest):
        agent = program.agents[first.ref]
        pending = step_pending(chain, agent, first.place, limits)
        events.append(["pending", first.place, agent.name])
    else:
        # Its first worker makes the transition again, with the same outputs.
        chain = Chain([], 0, ENTER, Document(None), shelf=chain.shelf)
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
        entry=pack_entry(ROOT, 0, "", events, **noted(chain.shelf)),
        deadline_ms=deadline_ms,
    )
