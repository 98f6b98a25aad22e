"""How a child of the pool ended: from the pool's own log, with memory if the kernel tells."""

import logging
from pathlib import Path

import pytest

from workers import deaths
from workers.deaths import POOL, Deaths, kills_for_memory


def exited(pid: int, status: str) -> logging.LogRecord:
    """Return what billiard logs of a dead child."""
    message, args = (
        "Process %r pid:%r exited with %r",
        ("ForkPoolWorker-1", pid, status),
    )
    return logging.LogRecord(POOL, logging.ERROR, "pool.py", 1, message, args, None)


def test_it_says_what_the_pool_has_seen() -> None:
    told = Deaths()
    assert told.filter(exited(7, "signal 9 (SIGKILL)"))
    told.filter(exited(8, "exitcode 70"))
    assert told.how(7) == "the last worker was ended by signal 9 (SIGKILL)"
    assert told.how(8) == "the last worker ended with exit code 70"
    # The pool does not log this one, and may not have logged that one yet.
    assert told.how(9) == "the last worker ended with exit code 0"
    said = told.how(9, "signal 6 (SIGABRT)")
    assert said == "the last worker was ended by signal 6 (SIGABRT)"


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
def test_it_says_when_the_kernel_killed_for_memory(
    tmp_path: Path, mine: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / file
    said.parent.mkdir(parents=True)
    said.write_text("low 0\noom 3\noom_kill 2\n")
    assert kills_for_memory(mine, tmp_path) == 2
    monkeypatch.setattr(
        deaths, "kills_for_memory", lambda: kills_for_memory(mine, tmp_path)
    )
    told = Deaths()
    killed = "the last worker was ended by signal 9 (SIGKILL)"
    assert told.how(1, "signal 9 (SIGKILL)") == killed
    said.write_text("oom_kill 3\n")
    with_memory = f"{killed}: the kernel kills for memory in its cgroup"
    assert told.how(2, "signal 9 (SIGKILL)") == with_memory
    assert told.how(3, "signal 9 (SIGKILL)") == killed


def test_without_cgroups_nothing_is_said_of_memory(tmp_path: Path) -> None:
    assert kills_for_memory("nonsense", tmp_path) == 0
    assert kills_for_memory("0::/", tmp_path) == 0
