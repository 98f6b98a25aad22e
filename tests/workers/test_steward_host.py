"""Whose steward a host has: a command waits for that of its own worker only."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workers.steward_host import steward_leaves, steward_lock


@pytest.fixture
def held(settings: Any, tmp_path: Path):
    """Give a function that notes a worker's pid in a lock file which is held."""
    settings.VAR_DIR = tmp_path
    with open(steward_lock(), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def note(pid: int) -> None:
            file.seek(0)
            file.truncate()
            file.write(str(pid))
            file.flush()

        yield note


def ended() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_steward_whose_worker_has_ended_is_leaving(held: Any) -> None:
    held(ended())
    assert steward_leaves()


def test_a_steward_of_another_worker_is_not_waited_for(held: Any) -> None:
    held(os.getpid())
    assert not steward_leaves()


def test_without_a_steward_nothing_is_waited_for(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    assert not steward_leaves()
    steward_lock().write_text(str(ended()))
    assert not steward_leaves()
