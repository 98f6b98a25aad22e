"""What each test of the API begins with."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from blueprints.conf import lua_host


def pytest_itemcollected(item: Any) -> None:
    """Name the operation in the id of a test: xdist runs one test of each id."""
    if not item.nodeid.endswith(item.name):
        item._id = item.parent.id.child(item.name)


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, settings: Any) -> None:
    """A repository of its own for each test."""
    settings.SWARM_BLUEPRINTS = str(tmp_path / "blueprints.git")


@pytest.fixture(autouse=True)
def groups(db: None) -> None:
    """The groups that the migration makes; tests that flush tables remove them."""
    importlib.import_module("blueprints.migrations.0010_groups").seed(apps, None)


@pytest.fixture(scope="session", autouse=True)
def sandbox() -> Iterator[None]:
    """Ends the sandbox that scripts have started."""
    yield
    lua_host().close()
