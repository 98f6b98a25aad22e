"""Two databases on one Redis: the second is refused everywhere, with the way out."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rig import Rig, step
from waiting import until

from blueprints.models import Installation, Run, RunEvent
from blueprints.services.installations import installation_name
from engine.store.reconciling import OWNER
from workers.broker.installation import ForeignRedis, take_over
from workers.broker.transport import state_url
from workers.doctor.checks import CHECKS
from workers.fleet.prerequisites import SetupFailed
from workers.runs.launch import LaunchRefused
from workers.runs.reconciling import reconcile
from workers.steward.database_duties import Bookkeeper
from workers.terminal.session import require_own_stores

pytestmark = pytest.mark.django_db(transaction=True)
WAYS_OUT = ("SWARM_REDIS_URL", "DATABASE_URL", "doctor --take-over")


def strange(rig: Rig) -> None:
    """Make the Redis that of another installation, with a journal of its own."""
    rig.launch(step())
    rig.store.wire.call("SET", OWNER, "another")


def test_an_empty_redis_takes_the_name_of_the_database_that_comes(rig: Rig) -> None:
    rig.launch(step())
    name = rig.store.wire.call("GET", OWNER).decode()

    assert name == installation_name() == Installation.objects.get().name
    assert len(name) == 32
    rig.store.wire.call("FLUSHALL")
    rig.launch(step())
    assert rig.store.wire.call("GET", OWNER).decode() == name


def test_a_launch_into_a_foreign_redis_leaves_no_trace(rig: Rig) -> None:
    strange(rig)
    before = Run.objects.count(), rig.store.wire.call("DBSIZE")

    with pytest.raises(LaunchRefused) as refused:
        rig.launch(step())
    assert all(way in str(refused.value) for way in WAYS_OUT)
    assert (Run.objects.count(), rig.store.wire.call("DBSIZE")) == before
    with pytest.raises(SetupFailed, match="belongs to another installation"):
        require_own_stores(rig.store)


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


def test_doctor_reports_a_foreign_redis_and_takes_it_over(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange(rig)
    client = state_url().client()
    [found] = CHECKS["installation"](client)
    assert (found.level, all(way in found.text for way in WAYS_OUT)) == ("fail", True)

    monkeypatch.setenv("SWARM_REDIS_URL", state_url().url)
    call_command("doctor", "--take-over")
    assert "now belongs to this database" in capsys.readouterr().out
    assert [found.level for found in CHECKS["installation"](client)] == ["ok"]
    client.close()
    reconcile(rig.store)


def test_doctor_reports_a_server_that_tells_no_run_id(rig: Rig) -> None:
    rig.launch(step())
    client = state_url().client()
    client.set_response_callback("INFO", lambda _: {})
    found, _ = CHECKS["installation"](client)
    assert (found.level, "tells no run_id" in found.text) == ("fail", True)
    client.close()


def test_a_redis_that_another_has_replaced_is_refused_until_it_is_taken_over(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rig.launch(step())
    Installation.objects.update(epoch="that of a newer one", server="another")

    with pytest.raises(LaunchRefused, match="is not the one that this installation"):
        rig.launch(step())
    with pytest.raises(ForeignRedis, match="doctor --take-over"):
        reconcile(rig.store)
    client = state_url().client()
    assert [found.level for found in CHECKS["installation"](client)] == ["fail"]

    monkeypatch.setenv("SWARM_REDIS_URL", state_url().url)
    call_command("doctor", "--take-over")
    reconcile(rig.store)
    assert [found.level for found in CHECKS["installation"](client)] == ["ok"]
    client.close()
    # It has all of its run.
    run.refresh_from_db()
    assert (run.status, run.lost_status) == ("running", "")


@pytest.mark.slow
def test_a_foreign_redis_ends_a_stock_worker(rig: Rig, tmp_path: Path) -> None:
    rig.store.wire.call("SET", OWNER, "another")
    env = {
        **os.environ,
        "SWARM_VAR": str(tmp_path),
        "SWARM_REDIS_URL": state_url().url,
        "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
    }
    root = Path(__file__).parents[3]
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
        reconcile(rig.store)
