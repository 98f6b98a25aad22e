"""Finds the queues that messages wait in and that no worker serves."""

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
from workers.fleet.fleet import queues_of_kinds

SILENCE_S: Final = 3.0
"""How long a run may make no progress before workers are asked for their queues."""
ANSWER_S: Final = 1.0
AGAIN_S: Final = 10.0


class UnservedQueues:
    """Warns once when a run makes no progress because no worker serves a queue."""

    def __init__(self, store: RedisStore, program: Program) -> None:
        """Watch the queues of a program's agents and the engine's."""
        self._store = store
        self._kinds = {a.queue: a.kind for a in program.agents.values()}
        self._due = time.monotonic() + SILENCE_S
        self._warned = ""

    def moved(self) -> None:
        """Note progress of the run."""
        self._due = time.monotonic() + SILENCE_S

    def new_warning(self) -> str:
        """Return a new warning, empty for none."""
        if time.monotonic() < self._due:
            return ""
        self._due = time.monotonic() + AGAIN_S
        waiting = waiting_queues(self._store, [*self._kinds, ENGINE_QUEUE])
        unserved = unserved_of(waiting, self._kinds)
        if unserved is None:
            return ""
        text = "; ".join(
            f"no worker serves {name}; start `{command}`" for name, command in unserved
        )
        if text == self._warned:
            return ""
        self._warned = text
        return text


def waiting_queues(store: RedisStore, queues: Sequence[str]) -> list[str]:
    """Return the queues in which messages wait."""
    prefix = current_app.conf.broker_transport_options.get("global_keyprefix", "")
    lengths = store.wire.pipeline([("LLEN", f"{prefix}{name}") for name in queues])
    return [name for name, count in zip(queues, lengths, strict=True) if count]


def served_queues() -> frozenset[str] | None:
    """Return the queues of all workers, which takes a second; None without a broker."""
    try:
        answers: Any = current_app.control.inspect(timeout=ANSWER_S).active_queues()
    # kombu raises what its transport raises, and wraps it in errors of its own.
    except Exception:
        return None
    found = (queue["name"] for queues in (answers or {}).values() for queue in queues)
    return frozenset(found)


def server_of(queue: str, kinds: Mapping[str, str]) -> str:
    """Return the command that serves a queue; `kinds` maps queues to kinds."""
    if queue == ENGINE_QUEUE:
        return typed("up")
    kind = kinds.get(queue, "KIND")
    more = "" if queue in queues_of_kinds([kind]) else f" --queues {queue}"
    return typed(f"fleet --kind {kind}{more}")


def unserved_of(
    waiting: Sequence[str], kinds: Mapping[str, str] | None = None
) -> list[tuple[str, str]] | None:
    """Return the waiting queues that no worker serves, each with the command for it.

    `kinds` maps queues to kinds, by default those of every kind. None without a broker,
    or if `waiting` is empty; otherwise it takes a second.
    """
    served = served_queues() if waiting else None
    if served is None:
        return None
    if kinds is None:
        kinds = {q: kind for kind in spawner_kinds() for q in queues_of_kinds([kind])}
    return [(name, server_of(name, kinds)) for name in waiting if name not in served]
