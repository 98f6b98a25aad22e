"""`celery -A swarm_project worker`, started where something is missing."""

import subprocess
import sys

import pytest
from command_shell import REPO, Shell

pytestmark = pytest.mark.slow


def stock_worker(shell: Shell, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "celery", "-A", "swarm_project", "worker"),
            *("-Q", "swarm.python_fn", "-c", "1"),
        ],
        cwd=REPO,
        env={**shell.env, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_worker_without_any_server_is_refused_in_one_line(shell: Shell):
    ended = stock_worker(shell)

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "`python manage.py up`" in ended.stderr
    assert "SWARM_REDIS_URL" in ended.stderr
    assert shell.workers() == []


def test_a_worker_with_a_bad_setting_is_refused_in_one_line(shell: Shell):
    ended = stock_worker(shell, SWARM_LEASE="0.5")

    assert ended.returncode != 0
    assert (
        ended.stderr
        == "SWARM_LEASE: expected a number of seconds from 2 up to 31622400 (a year), got '0.5'\n"
    )
