"""Finds queues that a run waits for and that no worker serves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from celery import current_app

from blueprints.command_line import typed
from blueprints.conf import spawner_kinds
from engine.blueprint import Program
from engine.store.base import ENGINE_QUEUE
from engine.store.redis import RedisStore
from workers.fleets import queues_of_kinds

SILENCE_S: Final = 3.0
"""How long a run may stand still before workers are asked what they serve."""
ANSWER_S: Final = 1.0
AGAIN_S: Final = 10.0


class UnservedQueues:
    """Says once what is missing when a run stands still for want of workers."""

    def __init__(self, store: RedisStore, program: Program) -> None:
        """Take the queues of a program's agents; nothing is asked yet."""
        self._store = store
        self._kinds = {a.queue: a.kind for a in program.agents.values()}
        self._due = time.monotonic() + SILENCE_S
        self._told = ""

    def moved(self) -> None:
        """Note that the run has moved."""
        self._due = time.monotonic() + SILENCE_S

    def look(self) -> str:
        """Return what a person should know and was not told yet, mostly nothing."""
        if time.monotonic() < self._due:
            return ""
        self._due = time.monotonic() + AGAIN_S
        waiting = waiting_queues(self._store, [*self._kinds, ENGINE_QUEUE])
        if not waiting:
            return ""
        served = served_queues()
        if served is None:
            return ""
        missing = [name for name in waiting if name not in served]
        text = "; ".join(advice(name, self._kinds) for name in missing)
        if text == self._told:
            return ""
        self._told = text
        return text


def waiting_queues(store: RedisStore, queues: Sequence[str]) -> list[str]:
    """Return those of some queues that messages wait in."""
    prefix = current_app.conf.broker_transport_options.get("global_keyprefix", "")
    lengths = store.wire.pipeline([("LLEN", f"{prefix}{name}") for name in queues])
    return [name for name, count in zip(queues, lengths, strict=True) if count]


def served_queues() -> frozenset[str] | None:
    """Ask every worker for its queues, which takes a second; None if it can't be asked."""
    try:
        answers: Any = current_app.control.inspect(timeout=ANSWER_S).active_queues()
    # kombu raises what its transport raises, and wraps it in errors of its own.
    except Exception:
        return None
    found = (queue["name"] for queues in (answers or {}).values() for queue in queues)
    return frozenset(found)


def advice(queue: str, kinds: Mapping[str, str]) -> str:
    """Return the line that names a queue nobody serves and what to start for it."""
    return f"no worker serves {queue}; start `{server_of(queue, kinds)}`"


def server_of(queue: str, kinds: Mapping[str, str]) -> str:
    """Return the command that serves a queue; `kinds` has the kinds of queues."""
    if queue == ENGINE_QUEUE:
        return typed("up")
    kind = kinds.get(queue, "KIND")
    more = "" if queue in queues_of_kinds([kind]) else f" --queues {queue}"
    return typed(f"fleet --kind {kind}{more}")


def unserved_of(waiting: Sequence[str]) -> list[tuple[str, str]]:
    """Ask workers what they serve; other queues of these, with the command for each.

    Empty where nobody can be asked. Costs a second if any queue is given.
    """
    served = served_queues() if waiting else None
    if served is None:
        return []
    kinds = {
        queue: kind for kind in spawner_kinds() for queue in queues_of_kinds([kind])
    }
    return [(name, server_of(name, kinds)) for name in waiting if name not in served]
