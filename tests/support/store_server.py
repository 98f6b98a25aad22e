"""Servers whose disk a test can fill."""

from __future__ import annotations

import resource
from contextlib import AbstractContextManager
from typing import Any

from engine.store.redis import RedisStore
from workers.pytest_plugin import throw_away_server


def fill_disk(client: Any, bytes_left: int = 0) -> int:
    """Let a server write no more to its files; returns its process id."""
    pid = int(client.info("server")["process_id"])
    size = int(client.info("persistence")["aof_current_size"]) + bytes_left
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return pid


def server_figure(store: RedisStore, section: str, name: str) -> int:
    """Return a number that INFO of a store's server gives."""
    text = store.wire.call("INFO", section).decode()
    return int(text.partition(f"{name}:")[2].split()[0])


def server_pid(store: RedisStore) -> int:
    """Return the process id of a store's server."""
    return server_figure(store, "server", "process_id")


def make_room(pid: int) -> None:
    """Let a server write again."""
    free = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, free)


def reconciled(store: RedisStore) -> RedisStore:
    """Note, without a database, that the data of a store were compared with the archive."""
    store.reconcile(store.standing().server, "an epoch", "an installation")
    return store


def running_server() -> AbstractContextManager[str]:
    """Run a server that writes its data to its disk; give the path of its socket."""
    return throw_away_server("--appendonly", "yes")
