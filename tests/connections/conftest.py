"""Servers of Debian's and the project's commands against them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_shell import Shell
from redis_servers import Authority, Servers, servers


@pytest.fixture
def made() -> Iterator[Servers]:
    """A place to start servers in."""
    with servers() as place:
        yield place


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority of this test."""
    return Authority(tmp_path)


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The project's commands, in an installation without an embedded server."""
    return Shell(tmp_path_factory.mktemp("v"))
