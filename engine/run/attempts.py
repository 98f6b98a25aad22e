"""One attempt of an agent: its input by value and bounded, its outcome as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from engine.blueprint.program import Agent
from engine.ports import Spawner, StepCall, never
from engine.run.ctx import TooLarge, dump_expanded
from engine.run.emitter import Emitter
from engine.run.events import Event
from engine.run.machine import Failed, Passed
from engine.run.outcomes import Outcome, as_json, as_text, retry_delay
from engine.run.outputs import LONGEST_NAME, cut, no_output
from engine.run.turn import Limits, timeout_of
from engine.store.base import Claimed, Ref
from engine.store.record import MOST


def step_id(ref: Ref, place: str) -> str:
    """Return a step's id: `ST-` and 32 hex, a function of run, generation and place.

    Every attempt of a step has the same, so agents can use it as idempotency key.
    """
    text = f"{ref.run}/{ref.gen}/{place}".encode()
    return "ST-" + hashlib.blake2b(text, digest_size=16).hexdigest()


def copied(value: Any, limit: int) -> Any:
    """Return a value an agent may do with as it likes; TooLarge beyond `limit` bytes."""
    if not isinstance(value, dict | list):
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

    What it emitted is folded into the outcome; what of it is not in the journal yet is
    among its owner's events.
    """
    spawner = spawners.get(agent.kind)
    if spawner is None:
        return Outcome(
            "failed",
            text=f"no spawner for agents of kind {agent.kind!r} in this worker",
            permanent=True,
        )
    try:
        given = copied(value, limits.input_bytes)
    except (TypeError, ValueError) as error:
        text = f"the input can't be held as JSON: {error}"
        return Outcome("failed", text=text, permanent=True)
    except TooLarge:
        return Outcome(
            "failed",
            text=f"input is larger than SWARM_INPUT_LIMIT ({limits.input_bytes} bytes):"
            " hand the step only the part it needs",
            permanent=True,
        )
    call = StepCall(
        ref.run,
        ref.gen,
        place,
        step_id(ref, place),
        agent,
        attempt,
        given,
        timeout_of(agent, limits) / 1000,
        cancelled,
        emit or no_output,
    )
    try:
        outcome = spawner.run(call)
    except Exception as error:
        # A spawner's own fault must not look like a dead worker.
        text = f"{type(error).__name__}: {error}"
        outcome = Outcome("failed", text=text, error_type=type(error).__name__)
    if emit is not None and emit.tail is not None:
        outcome = emit.tail.end(outcome)
    return checked(outcome, limits)


def checked(outcome: Outcome, limits: Limits) -> Outcome:
    """Return an outcome whose value is JSON and fits the Ctx, or the failure it is."""
    if outcome.kind not in ("passed", "blocked"):
        # The type too is chosen by the agent: a class may have a name of any length.
        return replace(
            outcome,
            text=as_text(outcome.text),
            error_type=cut(outcome.error_type, LONGEST_NAME),
        )
    try:
        value, text = as_json(outcome.value)
    except ValueError as error:
        return replace(
            outcome, kind="failed", value=None, text=str(error), permanent=True
        )
    if len(text) > limits.ctx_bytes:
        return replace(
            outcome,
            kind="failed",
            value=None,
            text=f"the result of {len(text)} bytes is larger than SWARM_CTX_LIMIT"
            f" ({limits.ctx_bytes} bytes): return a path or an id instead",
            permanent=True,
        )
    return Outcome(outcome.kind, value, stats=outcome.stats)


def judge(
    outcome: Outcome,
    agent: Agent,
    place: str,
    tries: int,
    events: list[Event],
    *,
    attempt: int,
    run: str,
    took_ms: int | None = None,
) -> Passed | Failed | int:
    """Decide what an outcome means: a signal for the machine, or a wait before a retry.

    `tries` counts what the retry policy is charged with, `attempt` is the attempt's
    number; `run` seeds the jitter of the wait; `took_ms` is for an attempt whose
    beginning is in no journal. Returns Passed, Failed, or the milliseconds to wait;
    notes the journal event and what the attempt cost.
    """
    delay = retry_delay(agent.retry, outcome, tries, f"{run}{place}")
    event: Event = [outcome.kind, place, attempt, agent.name]
    if delay is not None:
        event[0] = "retry"
        event += [outcome.text, delay, outcome.kind]
    elif outcome.kind in ("passed", "blocked"):
        event.append(outcome.value)
    else:
        event[0] = "step_lost" if outcome.kind == "lost" else outcome.kind
        event.append(outcome.text)
    if took_ms is not None:
        event.append(took_ms)
    events.append(event)
    if outcome.stats:
        events.append(["stats", place, attempt, outcome.stats])
    if delay is not None:
        return delay
    if outcome.kind == "passed":
        return Passed(outcome.value)
    return Failed(outcome.flow_text)


def gave_up(claimed: Claimed) -> bool:
    """Tell whether a chain went on killing workers when it was to end as lost."""
    if claimed.signal is None or not claimed.record.lost:
        return False
    lost = orjson.loads(claimed.signal).get("lost")
    return lost is not None and claimed.record.lost >= min(2 * lost, MOST)
