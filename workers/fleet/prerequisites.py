"""The prerequisites of workers: a Redis, and a database with all tables."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from blueprints.command_line import first_line, typed
from engine.store.server_url import RedisUnwritable, ServerUrl, outage_of
from engine.visible import visible
from workers.broker.redis_permissions import rights_fault
from workers.broker.transport import state_url
from workers.embedded_server.server import Hold, ServerUnavailable, ensure_server
from workers.process.posix import locked

WATCH_S = 1.0
"""How long a command that follows a run waits for a server that restarts."""
MIGRATE_S = 600.0
"""How long a command waits for another one that migrates the database."""


class SetupFailed(Exception):
    """A prerequisite is missing; the text names it and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """The Redis to use; `embedded` when it is the server of this installation."""

    server_url: ServerUrl
    embedded: bool


def reach(server_url: ServerUrl) -> None:
    """Check a Redis and the permissions there; raises SetupFailed with one line."""
    try:
        client = server_url.client(socket_connect_timeout=3, socket_timeout=3)
        with contextlib.closing(client):
            fault = rights_fault(client, server_url)
            if not fault:
                client.ping()
    except (redis.RedisError, OSError) as error:
        outage = outage_of(error) if isinstance(error, redis.ResponseError) else None
        if isinstance(outage, RedisUnwritable):
            raise SetupFailed(str(outage)) from None
        raise SetupFailed(
            f"Redis at {server_url} does not answer ({first_line(error)}): start it,"
            " correct SWARM_REDIS_URL, or unset it to use the embedded server"
        ) from None
    if fault:
        raise SetupFailed(fault)


@contextlib.contextmanager
def redis_place(*, keep: bool = False) -> Iterator[Place]:
    """Yield the configured Redis, or the embedded server, kept running for the block."""
    if os.environ.get("SWARM_REDIS_URL", "").strip():
        reach(state_url())
        yield Place(state_url(), embedded=False)
        return
    try:
        hold = Hold(settings.VAR_DIR)
    except OSError as error:
        raise SetupFailed(no_embedded(error)) from None
    try:
        try:
            info = ensure_server(settings.VAR_DIR, keep=keep)
        except (ServerUnavailable, OSError) as error:
            raise SetupFailed(no_embedded(error)) from None
        # The settings were read before the server ran.
        settings.SWARM_STATE_URL = ServerUrl.of(info.url)
        reach(state_url())
        yield Place(state_url(), embedded=True)
    finally:
        try:
            hold.release(keep=keep)
        except OSError as error:
            # The work of the command is done all the same.
            sys.stderr.write(visible(f"the embedded server was not stopped: {error}\n"))


def no_embedded(error: Exception) -> str:
    """Return why the embedded server can't be used and what to do."""
    return (
        f"the embedded server can't be started: {error}\nLook at"
        f" {settings.VAR_DIR}/redis/server.log, or set SWARM_REDIS_URL"
    )


def watch_server(place: Place) -> None:
    """Replace a dead supervisor of the embedded server; takes at most WATCH_S."""
    if place.embedded:
        with contextlib.suppress(ServerUnavailable, OSError):
            ensure_server(settings.VAR_DIR, timeout=WATCH_S)


def unapplied() -> list[str]:
    """Return the migrations that are not applied to this database."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def is_new_database() -> bool:
    """Return whether no migration was ever applied to this database."""
    return not MigrationExecutor(connection).loader.applied_migrations


def migrate() -> None:
    """Migrate the database without output; raises SetupFailed."""
    try:
        if not unapplied():
            return
        # Otherwise two commands at once would both create the tables.
        with locked(Path(settings.VAR_DIR) / "migrate.lock", MIGRATE_S):
            call_command("migrate", verbosity=0, interactive=False)
    except (DatabaseError, OSError, ImproperlyConfigured) as error:
        raise SetupFailed(
            f"the database can't be used ({first_line(error)}): check DATABASE_URL, or"
            f" unset it to use SQLite below {settings.VAR_DIR}"
        ) from None


def database_ready() -> None:
    """Raise SetupFailed when tables are missing or not up to date."""
    try:
        missing = unapplied()
    except DatabaseError as error:
        raise SetupFailed(
            f"the database can't be used ({first_line(error)}): check DATABASE_URL"
        ) from None
    if missing:
        raise SetupFailed(
            f"{len(missing)} migrations are not applied: run `{typed('migrate')}`"
        )
