"""The commands as a person starts them; see command_shell.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.server import stop_server

sys.path.append(str(Path(__file__).parent))

from command_shell import Shell


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled modules, kept from one command to the next."""
    return tmp_path_factory.mktemp("pyc")


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Shell]:
    """A shell over a fresh installation; whatever it started is ended."""
    made = Shell(tmp_path_factory.mktemp("v"), cache)
    try:
        yield made
    finally:
        if list(made.var.glob("fleets/*.json")):
            made.run("up", "--stop")
        stop_server(made.var)
