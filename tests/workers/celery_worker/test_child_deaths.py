"""The end of a pool's child: from the pool's log, with memory if the kernel reports it."""

import logging
from pathlib import Path

import pytest

from workers.celery_worker import child_deaths
from workers.celery_worker.child_deaths import POOL, Deaths, kills_for_memory


def exited(pid: int, status: str) -> logging.LogRecord:
    """Return what billiard logs of a dead child."""
    message, args = (
        "Process %r pid:%r exited with %r",
        ("ForkPoolWorker-1", pid, status),
    )
    return logging.LogRecord(POOL, logging.ERROR, "pool.py", 1, message, args, None)


def test_it_reports_what_the_pool_has_seen() -> None:
    deaths = Deaths()
    assert deaths.filter(exited(7, "signal 9 (SIGKILL)"))
    deaths.filter(exited(8, "exitcode 70"))
    assert deaths.describe(7) == "the last worker was ended by signal 9 (SIGKILL)"
    assert deaths.describe(8) == "the last worker ended with exit code 70"
    # The pool does not log this one, and may not have logged that one yet.
    assert deaths.describe(9) == "the last worker ended with exit code 0"
    text = deaths.describe(9, "signal 6 (SIGABRT)")
    assert text == "the last worker was ended by signal 6 (SIGABRT)"


@pytest.mark.parametrize(
    ("mine", "file"),
    [
        ("0::/pods/one\n", "pods/one/memory.events"),
        (
            "9:cpu:/\n8:memory:/pods/one\n0::/none\n",
            "memory/pods/one/memory.oom_control",
        ),
    ],
)
def test_it_reports_when_the_kernel_killed_for_memory(
    tmp_path: Path, mine: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tmp_path / file
    events.parent.mkdir(parents=True)
    events.write_text("low 0\noom 3\noom_kill 2\n")
    assert kills_for_memory(mine, tmp_path) == 2
    monkeypatch.setattr(
        child_deaths, "kills_for_memory", lambda: kills_for_memory(mine, tmp_path)
    )
    deaths = Deaths()
    killed = "the last worker was ended by signal 9 (SIGKILL)"
    assert deaths.describe(1, "signal 9 (SIGKILL)") == killed
    events.write_text("oom_kill 3\n")
    with_memory = f"{killed}: the kernel kills for memory in its cgroup"
    assert deaths.describe(2, "signal 9 (SIGKILL)") == with_memory
    assert deaths.describe(3, "signal 9 (SIGKILL)") == killed


def test_without_cgroups_nothing_is_reported_of_memory(tmp_path: Path) -> None:
    assert kills_for_memory("nonsense", tmp_path) == 0
    assert kills_for_memory("0::/", tmp_path) == 0
