"""The parts of a process: the store, the limits, the spawners, the engine."""

from __future__ import annotations

import os
import socket
from bdb import BdbQuit
from collections.abc import Iterable
from functools import cache
from typing import Final

from celery import Celery, current_app
from django.conf import settings
from django.db import InterfaceError, OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from blueprints.conf import output_store, spawner_class, spawner_kinds
from blueprints.spawner import KindSpawner
from engine.ports import Spawner, Watch
from engine.run.chain.outputs import Outputs
from engine.run.drive.engine import Engine
from engine.run.drive.load import Loader
from engine.run.limits import Limits
from engine.store.redis import RedisStore
from workers.broker.messages import message_template
from workers.broker.transport import state_url

AWAY: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
    OperationalError,
    InterfaceError,
)
"""The errors of a Redis or a database that is away: wait and try again."""
PATIENCE_S = 20.0
"""How long a worker waits for a Redis that is away before it abandons an attempt."""


def make_store(
    *,
    patience_s: float = 0.0,
    timeout: float = 15.0,
    resend_silent: bool = True,
    untimed: bool = False,
    wary: bool = False,
) -> RedisStore:
    """Return a store over the configured Redis; nothing is connected yet.

    A `wary` one does nothing on a server whose data are not compared with the archive.
    """
    app: Celery = current_app._get_current_object()
    return RedisStore(
        state_url(),
        template=message_template(app),
        lease_ms=round(settings.SWARM_LEASE * 1000),
        timeout=timeout,
        patience_s=patience_s,
        resend_silent=resend_silent,
        untimed=untimed,
        wary=wary,
        archive_first=archive_first(),
    )


_debugged: set[str] = set()
"""The kinds whose agents a debugger may stop in this process."""


def debug_kinds(kinds: Iterable[str]) -> None:
    """Let a debugger stop agents of these kinds: without timeout, and `q` ends the run.

    It applies to all that this process does, and not to what others do later.
    """
    _debugged.update(kinds)
    for kind in _debugged:
        spawner = spawners()[kind]
        assert isinstance(spawner, KindSpawner)  # noqa: S101 - as SWARM["SPAWNERS"] has
        spawner.interrupts = (KeyboardInterrupt, BdbQuit)


def archive_first() -> bool:
    """Return whether a commit is archived before anything follows from it."""
    return bool(settings.SWARM_ARCHIVE == "sync")


def limits() -> Limits:
    """Return the limits of the settings."""
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
        inline_bytes=settings.SWARM_INLINE_LIMIT,
        events=settings.SWARM_EVENT_LIMIT,
        event_bytes=settings.SWARM_EVENT_BYTES_LIMIT,
        cache_bytes=settings.SWARM_CACHE_LIMIT,
        archive_first=archive_first(),
        untimed=frozenset(_debugged),
    )


def outputs() -> Outputs:
    """Return what keeps large values, with a cache for one thread of this process."""
    return Outputs(
        output_store(), settings.SWARM_INLINE_LIMIT, settings.SWARM_CACHE_LIMIT
    )


def make_loader(store: RedisStore, most_joined: int | None = None) -> Loader:
    """Return a loader of chains for one thread of this process."""
    return Loader(
        store,
        cache_bytes=settings.SWARM_CACHE_LIMIT,
        most_joined=most_joined,
        outputs=outputs(),
    )


@cache
def spawners() -> dict[str, Spawner]:
    """Return a spawner for each kind, made once per process."""
    return {kind: spawner_class(kind)() for kind in spawner_kinds()}


def make_engine(queues: frozenset[str], watch: Watch) -> Engine:
    """Return the engine of a worker process that consumes these queues."""
    store = make_store(patience_s=PATIENCE_S, untimed=bool(_debugged), wary=True)
    return Engine(
        store,
        spawners(),
        serves=queues.__contains__,
        limits=limits(),
        watch=watch,
        loader=make_loader(store),
        who=f"{socket.gethostname()}:{os.getpid()}",
        queues=queues,
    )
