"""A real server that the settings name, and runs that are driven in this process."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from living_processes import mentioning
from rig import Rig
from server_commands import stop_server
from store_server import running_server
from waiting import until

from engine.store.redis import RedisStore
from workers.wiring import make_store


@pytest.fixture
def redis_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real server that the settings and the environment name."""
    with running_server() as socket:
        url = f"unix://{socket}?db=0"
        monkeypatch.setenv("SWARM_REDIS_URL", url)
        monkeypatch.setattr(settings, "SWARM_STATE_URL", url)
        yield url


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    """A store on that server."""
    made = make_store()
    yield made
    made.wire.close()


@pytest.fixture
def rig(redis_url: str) -> Iterator[Rig]:
    """A store on that server, with what makes its runs move."""
    made = Rig()
    yield made
    made.store.wire.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder where a socket has a path that the system takes, as pytest's may not be."""
    with tempfile.TemporaryDirectory(prefix="swarm-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def var(short_path: Path, tmp_path: Path) -> Iterator[Path]:
    """A var folder whose server is stopped, and all its processes gone, at the end."""
    var = short_path / "var"
    yield var
    stop_server(var)
    until(lambda: mentioning(str(short_path)) + mentioning(str(tmp_path)) == [], 5)
