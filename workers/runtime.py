"""What a process needs to take part: the store, the limits, the spawners, the engine."""

from __future__ import annotations

import os
import socket
import uuid
from functools import cache
from typing import Any

from celery import Celery, current_app
from django.conf import settings

from blueprints.conf import spawner_class, spawner_kinds
from engine.ports import Spawner, Watch
from engine.run.engine import Engine
from engine.run.turn import Limits
from engine.store.redis import STATE, RedisStore
from workers.queue import message_template
from workers.transport import state_address

PATIENCE_S = 20.0
"""How long a worker waits for a Redis that is away before it gives an attempt up."""


def make_store(
    *, patience_s: float = 0.0, timeout: float = 15.0, resend_silent: bool = True
) -> RedisStore:
    """Return a store over the configured Redis; nothing is connected yet."""
    app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]
    return RedisStore(
        state_address(),
        template=message_template(app),
        lease_ms=round(settings.SWARM_LEASE * 1000),
        timeout=timeout,
        patience_s=patience_s,
        resend_silent=resend_silent,
    )


def limits() -> Limits:
    """Return the limits as settings have them."""
    return Limits(
        lease_s=settings.SWARM_LEASE,
        attempt_ms=max(1, round(settings.SWARM_ATTEMPT_TIMEOUT * 1000)),
        steps=settings.SWARM_STEP_BUDGET,
        seconds=settings.SWARM_STEP_BUDGET_S,
        lane_batch=settings.SWARM_LANE_BATCH,
        window=settings.SWARM_CHORD_WINDOW,
        consumers=settings.SWARM_CONSUMERS,
        ctx_bytes=settings.SWARM_CTX_LIMIT,
        input_bytes=settings.SWARM_INPUT_LIMIT,
        events=settings.SWARM_EVENT_LIMIT,
        event_bytes=settings.SWARM_EVENT_BYTES_LIMIT,
        cache_bytes=settings.SWARM_CACHE_LIMIT,
    )


@cache
def spawners() -> dict[str, Spawner]:
    """Return one spawner a kind, made once per process."""
    return {kind: spawner_class(kind)() for kind in spawner_kinds()}


def worker_name() -> str:
    """Return how this process is named in the journal: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def make_engine(queues: frozenset[str], watch: Watch) -> Engine:
    """Return the engine of a worker process that consumes these queues."""
    store = make_store(patience_s=PATIENCE_S)
    return Engine(
        store,
        spawners(),
        serves=queues.__contains__,
        limits=limits(),
        watch=watch,
        who=worker_name(),
        queues=queues,
    )


def epoch(store: RedisStore) -> str:
    """Return the id of this Redis's data, made at first contact with an empty Redis.

    A run remembers it, so that one whose Redis was lost is never started from zero.
    """
    key = f"{STATE}epoch"
    value: Any = store.wire.call("GET", key)
    if value is None:
        # Not before: a full Redis refuses the command even where it would set nothing.
        store.wire.call("SET", key, uuid.uuid4().hex, "NX")
        value = store.wire.call("GET", key)
    return str(value.decode())
