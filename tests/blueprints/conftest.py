"""Fixtures of the tests of blueprints."""

from pathlib import Path
from typing import Any

import pytest

from blueprints.conf import blueprint_store
from engine.blueprint import Program, compile_blueprint
from engine.blueprint_store import BlueprintStore

STORES = {
    "git": "blueprints.stores.git.store.installed_store",
    "memory": "engine.testing.MemoryBlueprintStore",
}


def keep_in(name: str, settings: Any, folder: Path) -> BlueprintStore:
    """Return an empty store of Blueprints, which is now that of this installation."""
    settings.SWARM_BLUEPRINTS = str(folder / "kept.git")
    settings.SWARM = {**settings.SWARM, "BLUEPRINT_STORE": STORES[name]}
    return blueprint_store()


@pytest.fixture(params=STORES)
def kept(
    request: pytest.FixtureRequest, settings: Any, tmp_path: Path, db: None
) -> BlueprintStore:
    """The store of Blueprints of this installation, empty, in git and in memory."""
    return keep_in(request.param, settings, tmp_path)


@pytest.fixture
def kept_in_git(settings: Any, tmp_path: Path, db: None) -> BlueprintStore:
    """The store of Blueprints of this installation, empty."""
    return keep_in("git", settings, tmp_path)


@pytest.fixture
def program() -> Program:
    """A one-step program with a default initial Ctx and no deadline of its own."""
    path = {"op": "path", "at": "$.name"}
    return compile_blueprint(
        {
            "id": "hello",
            "flow": {"kind": "step", "ref": "greet", "in": path, "out": path},
            "agents": [{"name": "greet", "kind": "python_fn", "spec": {"fn_id": "f"}}],
            "default_init_ctx": {"name": "you", "loud": False},
        },
        kinds=["python_fn"],
    )
