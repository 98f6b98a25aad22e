"""A worker that may open too few files reports it at once."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
ASK = """
import resource, sys
from workers.celery_worker.open_files import files_fault
print(files_fault(int(sys.argv[1])))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def limited(soft: int, hard: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python where so many files may be open."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPO,
        env={**os.environ, "SWARM_REDIS_URL": "redis://127.0.0.1:2/0"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_limit_that_is_too_low_is_raised_where_that_is_allowed() -> None:
    for soft, hard, children, then in ((40, 512, 2, 74), (256, 512, 2, 256)):
        done = limited(soft, hard, "-c", ASK, str(children))
        assert done.stdout.split() == [str(then)], done.stderr
    done = limited(40, 80, "-c", ASK, "10")
    assert "needs at least 114" in done.stdout
    assert done.stdout.endswith("\n40\n")


@pytest.mark.slow
def test_a_worker_with_too_few_files_is_refused_in_one_line() -> None:
    worker = ("-m", "celery", "-A", "swarm_project", "worker", "-c", "2")
    done = limited(40, 40, *worker)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("only 40 files may be open here (`ulimit -n`)")
    assert "at least 74" in done.stderr
