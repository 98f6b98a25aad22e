"""Whose steward a host has: a command waits for that of its own worker only."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workers.fleet import fleet as fleets
from workers.steward.candidate import leaving_steward, steward_lock


@pytest.fixture
def held(settings: Any, tmp_path: Path):
    """Yield a function that writes a worker's pid into a locked file."""
    settings.VAR_DIR = tmp_path
    with open(steward_lock(), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def note(*pids: int) -> None:
            file.seek(0)
            file.truncate()
            file.write(" ".join(map(str, pids)))
            file.flush()

        yield note


def ended() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_steward_whose_worker_has_ended_is_leaving(held: Any) -> None:
    worker = ended()
    held(worker)
    assert leaving_steward() == 0
    held(worker, 4321)
    assert leaving_steward() == 4321


def test_a_steward_of_another_worker_is_not_waited_for(held: Any) -> None:
    held(os.getpid(), 4321)
    assert leaving_steward() is None


def test_a_damaged_note_names_no_steward(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    with open(steward_lock(), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("damaged -1 \0")
        file.flush()
        assert leaving_steward() is None


def test_another_reader_of_the_note_is_no_worker(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    steward_lock().write_text(f"{ended()} 4321")
    with open(steward_lock()) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert leaving_steward() is None


def test_without_a_steward_nothing_is_waited_for(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    assert leaving_steward() is None
    steward_lock().write_text(str(ended()))
    assert leaving_steward() is None


def test_a_steward_that_does_not_leave_is_killed(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(fleets, "STEWARD_S", 0.5)
    with open(steward_lock(), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
        steward = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[file.fileno()]
        )
        file.write(f"{ended()} {steward.pid}")
    fleets.await_steward()
    assert steward.wait(5) < 0
