"""The helpers of the simulations are of use here too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
# With --import-mode=importlib a test folder is on no path; its helpers need one.
for folder in (TESTS / "simulation", TESTS / "engine" / "store"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from store_server import running_server  # noqa: E402 - found by the lines above


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """Run one real server for the session and return the path of its socket."""
    with running_server() as socket:
        yield socket
