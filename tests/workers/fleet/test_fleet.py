"""Starting and ending worker processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store.server_url import ServerUrl
from workers.fleet import fleet as fleets
from workers.fleet import worker_guard
from workers.fleet.prerequisites import SetupFailed


def test_who_waits_for_another_is_more_patient() -> None:
    keeper, guard = worker_guard.WARM_S, worker_guard.PATIENCE_S
    assert keeper + 2 < guard < worker_guard.STOP_S


def test_workers_of_an_uninstalled_checkout_find_its_code(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SWARM_PROJECT_DIR = tmp_path
    monkeypatch.delenv("PYTHONPATH", raising=False)
    environment = fleets.worker_env(ServerUrl.of("redis://127.0.0.1:6379/0"), 1)
    # -S: without the installed packages, and so without this checkout.
    words = [sys.executable, "-S", "-c", "import engine.flow, workers"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[fleets.Fleet]:
    """A fleet of one guard, which is a program that sleeps."""
    environment = {"PATH": os.environ["PATH"]}
    log = tmp_path / "log"
    record = os.open(tmp_path / "record", os.O_RDWR | os.O_CREAT)
    member = fleets.Member(["sleep", "60"], environment, log, keep=True, record=record)
    member.start()
    made = fleets.Fleet([member])
    yield made
    member.guard.kill()
    member.guard.wait()
    os.close(record)


def kill_guard(fleet: fleets.Fleet, *, after_s: float) -> None:
    """Kill a fleet's only guard, as if it had lived for some seconds."""
    [member] = fleet.members
    member.began -= after_s
    member.guard.kill()
    member.guard.wait()


def test_guards_killed_once_in_a_while_are_replaced_for_ever(
    fleet: fleets.Fleet,
) -> None:
    for _ in range(2 * fleets.TRIES):
        kill_guard(fleet, after_s=fleets.HEALTHY_S + 1)
        fleet.check()
        assert fleet.members[0].guard.poll() is None


def test_guards_killed_again_and_again_end_the_command(fleet: fleets.Fleet) -> None:
    for _ in range(fleets.TRIES - 1):
        kill_guard(fleet, after_s=1)
        fleet.check()
    kill_guard(fleet, after_s=1)
    with pytest.raises(SetupFailed, match="a worker keeps exiting"):
        fleet.check()
