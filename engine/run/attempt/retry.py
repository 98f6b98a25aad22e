"""The decision after an attempt: a signal for the machine, or a retry."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from engine.blueprint.program import MOST_ATTEMPTS, Agent, Retry
from engine.run.attempt.outcomes import Outcome
from engine.run.chain.ctx import TooLarge, dump_expanded
from engine.run.chain.machine import Failed, Passed, StepRequest
from engine.run.chain.outputs import Shelf
from engine.run.journal.entries import MOST_INPUT, Event
from engine.run.limits import Limits

RETRIED: Final = frozenset({"failed", "timed_out"})


def judge(
    outcome: Outcome,
    agent: Agent,
    request: StepRequest,
    tries: int,
    events: list[Event],
    limits: Limits,
    *,
    attempt: int,
    run: str,
    took_ms: int | None = None,
    shelf: Shelf | None = None,
) -> Passed | Failed | int:
    """Return the signal that a checked outcome means, or the milliseconds until a retry.

    `tries` counts the attempts charged to the retry policy, `attempt` is the number of
    this one; `run` seeds the jitter of the wait. `took_ms` is given for an attempt
    without a `started` event. The journal event is added to `events`, followed by the
    details of a failure and by the cost. What is too large of a passed value goes on the
    `shelf`.
    """
    place, json = request.place, outcome.json
    if (
        shelf is not None
        and json is not None
        and len(json.text) > shelf.limit
        and outcome.kind == "passed"
    ):
        json = shelf.kept_json(json)
    event: Event = [outcome.kind, place, attempt, agent.name]
    answered = outcome.kind in ("passed", "blocked")
    delay = (
        None if answered else retry_delay(agent.retry, outcome, tries, f"{run}{place}")
    )
    if answered:
        assert json is not None  # noqa: S101 - it has been checked
        event.append(orjson.Fragment(json.text))
    elif delay is not None:
        event[0] = "retry"
        event += [outcome.text, delay, outcome.kind]
    else:
        event[0] = "step_lost" if outcome.kind == "lost" else outcome.kind
        event.append(outcome.text)
    if took_ms is not None:
        event.append(took_ms)
    events.append(event)
    if not answered:
        given, size = _kept_input(request.input, limits)
        events.append(["details", place, attempt, given, size, outcome.traceback])
    if outcome.stats:
        events.append(["stats", place, attempt, outcome.stats])
    if delay is not None:
        return delay
    if outcome.kind == "passed" and json is not None:
        return Passed(json)
    return Failed(outcome.flow_text)


def _kept_input(value: Any, limits: Limits) -> tuple[str, int]:
    """Return the first MOST_INPUT bytes of an input as JSON text, and its whole size.

    The size of an input that can't be written, or is too large to write, is -1.
    """
    try:
        text = dump_expanded(value, limits.input_bytes)
    except (TooLarge, TypeError, ValueError):
        return "", -1
    return text[:MOST_INPUT].decode("utf-8", "ignore"), len(text)


def retry_delay(policy: Retry, outcome: Outcome, tries: int, seed: str) -> int | None:
    """Return the milliseconds to wait before the next attempt, or None for no retry.

    `tries` counts the attempts so far. Waits double from base to cap. The jitter is a
    function of `seed`, so that a repeated decision is the same. The budget bounds the
    sum of the waits.
    """
    if outcome.kind not in RETRIED or outcome.permanent:
        return None
    if tries >= min(policy.max_attempts, MOST_ATTEMPTS):
        return None
    if outcome.error_type and outcome.error_type in policy.never:
        return None
    waited, delay = 0, 0
    for n in range(tries):
        delay = min(policy.base_ms * (1 << min(n, 20)), policy.cap_ms)
        waited += delay
    if policy.budget_ms and waited > policy.budget_ms:
        return None
    digest = hashlib.blake2b(f"{seed}/{tries}".encode(), digest_size=4).digest()
    spread = int.from_bytes(digest) / 0xFFFFFFFF * 2 - 1
    return max(0, round(delay * (1 + policy.jitter * spread)))
