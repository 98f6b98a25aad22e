"""A real server for the simulations, and the paths of the helpers they share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# With --import-mode=importlib a test folder is on no path; its helpers need one.
for folder in (HERE, HERE.parent / "engine" / "store", HERE.parent / "conformance"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from store_server import running_server  # noqa: E402 - found by the line above


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """Run one real server for the session and return the path of its socket."""
    with running_server() as socket:
        yield socket
