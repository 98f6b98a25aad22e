"""Fixtures of all tests. Only ports have doubles, so there are few."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings
from hypothesis import settings
from store_boxes import Box

from engine.store.redis import RedisStore

pytest_plugins = ["workers.pytest_plugin"]

# No test fails for the time it took: a busy machine is no bug. Each run draws the same
# examples, so that a change is judged by what it changed; the profile `search` draws
# others each time.
settings.register_profile("swarm", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "swarm"))


@pytest.fixture
def box(swarm_server: str) -> Iterator[Box]:
    """An empty store and a look inside it."""
    made = Box(swarm_server)
    yield made
    made.close()


@pytest.fixture
def store(box: Box) -> RedisStore:
    """The store of `box`."""
    return box.store


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse tests of the same id, of which xdist would run only one."""
    counts = Counter(item.nodeid for item in session.items)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise pytest.UsageError(f"Tests share an id; give each its own: {twice}")


def pytest_unconfigure() -> None:
    """Removes what the run kept; isolated_settings.py made it."""
    # With `--ds` of somebody else's it is not ours.
    if django_settings.VAR_DIR.name.startswith("swarm-tests."):
        shutil.rmtree(django_settings.VAR_DIR, ignore_errors=True)
