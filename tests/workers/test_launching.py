"""Launching: what refuses a run before anything of it is written."""

from typing import Any, cast

import pytest

from blueprints.models import Run, Task
from engine.blueprint import compile_blueprint
from engine.store.base import Pending, Start
from engine.store.memory import MemoryStore
from engine.store.redis import RedisStore
from workers.launching import LaunchRefused, launch

pytestmark = pytest.mark.django_db


def test_a_journal_that_is_too_long_refuses_launches(settings: Any) -> None:
    store = MemoryStore()
    pending = Pending(b"s[0]", "swarm.lua", "/", 1000)
    entry = b'{"e":[["run_started"]]}'
    store.start(Start("R-1", 1, "p", b"{}", "b", b"{}", b"", pending, entry, 0))
    settings.SWARM_JOURNAL_LIMIT = 10
    flow = {"kind": "seq", "children": []}
    program = compile_blueprint({"id": "b", "flow": flow}, kinds=[])

    with pytest.raises(LaunchRefused, match=r"more than SWARM_JOURNAL_LIMIT \(10\)"):
        launch(cast(RedisStore, store), program=program, ctx={})
    assert not Run.objects.exists()
    assert not Task.objects.exists()
