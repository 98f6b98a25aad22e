"""The lock of a command that does steps in its own process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from workers.fleet.in_process_lock import (
    in_process_lock,
    refuse_beside_in_process,
    work_alone,
)
from workers.fleet.prerequisites import SetupFailed
from workers.process.posix import try_lock, write_note


@pytest.fixture(autouse=True)
def var(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path


def test_while_it_is_held_everyone_else_is_told_by_whom() -> None:
    refuse_beside_in_process()
    fd = try_lock(in_process_lock())
    assert fd is not None
    write_note(fd, "4711")
    for attempt in (refuse_beside_in_process, work_alone):
        with pytest.raises(
            SetupFailed, match=r"Process 4711 does steps .* end it with"
        ):
            attempt()
    os.close(fd)
    refuse_beside_in_process()


@pytest.mark.slow
def test_workers_that_cannot_be_asked_are_not_taken_for_none(
    settings: Any,
) -> None:
    settings.SWARM_STATE_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(SetupFailed, match="Workers can't be asked whether they run"):
        work_alone()
    # The lock is free again.
    refuse_beside_in_process()
