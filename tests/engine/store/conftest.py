"""Both members of the RunStore port, each with its broker, for the contract suite."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store.base import RunStore

# With --import-mode=importlib a test folder is on no path; its helpers need one.
sys.path.append(str(Path(__file__).parent))

from store_boxes import Box, MemoryBox, RedisBox
from store_server import running_server


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """Run one real server for the session and return the path of its socket."""
    with running_server() as socket:
        yield socket


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
