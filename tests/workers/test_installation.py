"""Two databases on one Redis: the second is refused everywhere, with the way out."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rig import Rig, step

from blueprints.models import Installation, Run, RunEvent
from blueprints.services.installations import installation_name
from workers.bookkeeper import Bookkeeper
from workers.doctor import CHECKS
from workers.fleets import SetupFailed
from workers.installation import KEY, ForeignRedis, hold_redis, take_over
from workers.launching import LaunchRefused
from workers.session import ours
from workers.transport import state_address

pytestmark = pytest.mark.django_db(transaction=True)
WAYS_OUT = ("SWARM_REDIS_URL", "DATABASE_URL", "doctor --take-over")


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def strange(rig: Rig) -> None:
    """Make the Redis that of another installation, with a journal of its own."""
    rig.launch(step())
    rig.store.wire.call("SET", KEY, "another")


def test_an_empty_redis_takes_the_name_of_the_database_that_comes(rig: Rig) -> None:
    rig.launch(step())
    name = rig.store.wire.call("GET", KEY).decode()

    assert name == installation_name() == Installation.objects.get().name
    assert len(name) == 32
    rig.store.wire.call("FLUSHALL")
    rig.launch(step())
    assert rig.store.wire.call("GET", KEY).decode() == name


def test_a_launch_into_a_foreign_redis_leaves_no_trace(rig: Rig) -> None:
    strange(rig)
    before = Run.objects.count(), rig.store.wire.call("DBSIZE")

    with pytest.raises(LaunchRefused) as refused:
        rig.launch(step())
    assert all(way in str(refused.value) for way in WAYS_OUT)
    assert (Run.objects.count(), rig.store.wire.call("DBSIZE")) == before
    with pytest.raises(SetupFailed, match="belongs to another installation"):
        ours(rig.store)


def test_a_foreign_journal_is_not_archived_and_the_steward_does_not_lead(
    rig: Rig,
) -> None:
    strange(rig)
    bookkeeper = Bookkeeper(rig.store, lambda: True)
    bookkeeper.start()
    try:
        until(lambda: bookkeeper.refused)
        assert not RunEvent.objects.exists()
        assert rig.store.archived() == "0"
        # Taken over it is looked after, without a restart.
        take_over(rig.store)
        until(lambda: RunEvent.objects.exists())
        assert not bookkeeper.refused
    finally:
        bookkeeper.end(10)


def test_doctor_tells_a_foreign_redis_and_takes_it_over(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange(rig)
    client = state_address().client()
    [found] = CHECKS["installation"](client)
    assert (found.level, all(way in found.text for way in WAYS_OUT)) == ("fail", True)

    monkeypatch.setenv("SWARM_REDIS_URL", state_address().url)
    call_command("doctor", "--take-over")
    assert "is that of this database now" in capsys.readouterr().out
    assert [found.level for found in CHECKS["installation"](client)] == ["ok"]
    client.close()
    hold_redis(rig.store, installation_name())


def test_a_foreign_redis_ends_a_stock_worker(rig: Rig, tmp_path: Path) -> None:
    rig.store.wire.call("SET", KEY, "another")
    env = {
        **os.environ,
        "SWARM_VAR": str(tmp_path),
        "SWARM_REDIS_URL": state_address().url,
        "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
    }
    root = Path(__file__).parents[2]
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, env=env, cwd=root, check=True, timeout=60)
    worker = [sys.executable, "-m", "celery", "-A", "swarm_project", "worker"]
    ended: Any = subprocess.run(
        [*worker, "-c", "1", "-Q", "swarm.python_fn", "-l", "WARNING"],
        env=env,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2, ended.stderr
    # The worker says it, and its steward too where that was up before the worker ended.
    assert ended.stderr.count("belongs to another installation") in (1, 2)
    assert "Traceback" not in ended.stderr
    with pytest.raises(ForeignRedis):
        hold_redis(rig.store, installation_name())
