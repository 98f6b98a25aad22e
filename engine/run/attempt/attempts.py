"""One attempt of an agent: a bounded copy of its input, and its outcome as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from engine.blueprint.program import Agent
from engine.flow.offloaded import Offloaded
from engine.ports import Spawner, StepCall, never
from engine.run.attempt.emitter import Emitter
from engine.run.attempt.outcomes import Outcome, as_json, as_text
from engine.run.attempt.verdicts import judged
from engine.run.chain.ctx import TooLarge, dump_expanded
from engine.run.journal.outputs import LONGEST_NAME, cut, no_output
from engine.run.limits import Limits, seconds_for
from engine.store.base import Ref
from engine.store.record import MAX_COUNT


def copied(value: Any, limit: int) -> Any:
    """Return a copy that the agent may change, or raise TooLarge beyond `limit` bytes."""
    if type(value) is Offloaded and isinstance(value.load(), str):
        return value.load()
    if not isinstance(value, dict | list | Offloaded):
        return value
    return orjson.loads(dump_expanded(value, limit))


def make_attempt(
    spawners: Mapping[str, Spawner],
    agent: Agent,
    ref: Ref,
    place: str,
    attempt: int,
    value: Any,
    limits: Limits,
    cancelled: Callable[[], bool] = never,
    emit: Emitter | None = None,
) -> Outcome:
    """Make one attempt of an agent and return its outcome; never raises.

    The emitted output is folded into the outcome. Output events that are not in the
    journal yet are added to the events of the owner.
    """
    spawner = spawners.get(agent.kind)
    if spawner is None:
        text = f"this worker has no spawner for agents of kind {agent.kind!r}"
        return Outcome("failed", text=text, permanent=True)
    try:
        given = copied(value, limits.input_bytes)
    except (TypeError, ValueError) as error:
        text = f"the input can't be written as JSON: {error}"
        return Outcome("failed", text=text, permanent=True)
    except TooLarge:
        text = (
            f"input is larger than SWARM_INPUT_LIMIT ({limits.input_bytes} bytes):"
            " pass the step only the part that it needs"
        )
        return Outcome("failed", text=text, permanent=True)
    call = StepCall(
        ref.run,
        ref.line or ref.gen,
        place,
        agent,
        attempt,
        given,
        seconds_for(agent, limits),
        cancelled,
        emit or no_output,
    )
    try:
        outcome = spawner.run(call)
    except Exception as error:
        # A fault of the spawner itself must not look like a dead worker.
        text = f"{type(error).__name__}: {error}"
        outcome = Outcome("failed", text=text, error_type=type(error).__name__)
    except KeyboardInterrupt:
        if emit is not None and emit.tail is not None:
            emit.tail.end(Outcome("failed"))
        raise
    has_parts = False
    if emit is not None and emit.tail is not None:
        outcome = emit.tail.end(outcome)
        has_parts = emit.tail.has_parts
    return judged(checked(outcome, limits), agent, has_parts=has_parts)


def checked(outcome: Outcome, limits: Limits) -> Outcome:
    """Return an outcome whose value is JSON and fits into the Ctx, else a failure."""
    if outcome.kind not in ("passed", "blocked"):
        # An agent's exception class may have a name of any length.
        return replace(
            outcome,
            text=as_text(outcome.text),
            error_type=cut(outcome.error_type, LONGEST_NAME),
        )
    try:
        made = as_json(outcome.value)
        if len(made.text) > limits.ctx_bytes:
            raise ValueError(
                f"the result of {len(made.text)} bytes is larger than SWARM_CTX_LIMIT"
                f" ({limits.ctx_bytes} bytes): return a path or an id instead"
            )
    except ValueError as error:
        return replace(
            outcome, kind="failed", value=None, text=str(error), permanent=True
        )
    return Outcome(outcome.kind, made.value, stats=outcome.stats, json=made)


def is_poisoned(signal: bytes | None, lost: int) -> bool:
    """Return whether a chain kept killing workers after its step was to end as lost.

    The claim took the `signal`, and its record counts the attempts that were `lost`.
    """
    if not signal or not lost:
        return False
    most = orjson.loads(signal).get("lost")
    return most is not None and lost >= min(2 * most, MAX_COUNT)
