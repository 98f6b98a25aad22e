"""Jobs that attack their guards: launchers killed, stopped, or impersonated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from living_processes import alive

from workers.process.posix import descendants

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs a subreaper and /proc"
)
REPO = Path(__file__).resolve().parents[3]

# A daemon in a session of its own that calls itself as a launcher does.
DAEMON = """
import os, signal, sys
def parent(pid):
    return int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
launcher = os.getppid()
guard = parent(launcher)
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    open(os.path.join(sys.argv[1], str(os.getpid())), 'w').close()
    os.closerange(0, 3)
    os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(90)',
        'workers/process/launcher.py', '3', 'hide'])
import time
while not os.listdir(sys.argv[1]): time.sleep(0.01)
def both(number):
    for pid in (guard, launcher): os.kill(pid, number)
"""
ATTACKS = {
    "kills both": "both(signal.SIGKILL)",
    "kills the guard": "os.kill(guard, signal.SIGKILL)",
    "stops both": "both(signal.SIGSTOP); time.sleep(60)",
    "stops the guard": "os.kill(guard, signal.SIGSTOP); time.sleep(60)",
    "stops both and leaves": "both(signal.SIGSTOP)",
}
# A pool's child that runs such a job, and then ends its step or is killed itself.
OWNER = """
import os, signal, sys, threading, time
from workers.process.job import ChildLimits, environment
from workers.process.runner import ProcessRunner
from workers.process.orphans import adopt_orphans, end_offspring
if sys.argv[3] != 'plain':
    adopt_orphans()
runner = ProcessRunner()
done = runner.run([sys.executable, '-I', '-S', '-c', sys.argv[1], sys.argv[2]],
    stdin=None, env=environment(), cwd=None, timeout=1.0, max_output=10, limits=ChildLimits())
if sys.argv[3] == 'killed':
    os.kill(os.getpid(), signal.SIGKILL)
end_offspring() if sys.argv[3] == 'ends' else None
print('over', flush=True)
sys.stdin.read()
"""


def owner(attack: str, folder: Path, how: str) -> subprocess.Popen[str]:
    """Start a pool's child whose job attacks."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, DAEMON + attack, str(folder), how],
        cwd=REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def gone(pids: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_outlives_the_step(attack: str, tmp_path: Path) -> None:
    process = owner(ATTACKS[attack], tmp_path, "ends")
    assert process.stdout is not None
    assert process.stdout.readline() == "over\n"
    [daemon] = [int(path.name) for path in tmp_path.iterdir()]
    left = [pid for pid in (daemon, *descendants(process.pid)) if alive(pid)]
    process.kill()
    process.communicate()
    # A launcher that was not attacked waits for the next job.
    assert daemon not in left
    assert gone(left, 10)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["stops both", "stops the guard"])
def test_a_stopped_launcher_continues_when_its_worker_is_killed(
    attack: str, tmp_path: Path
) -> None:
    """No other process ends its descendants."""
    process = owner(ATTACKS[attack], tmp_path, "killed")
    below: set[int] = set()
    while process.poll() is None:
        below.update(descendants(process.pid))
        time.sleep(0.02)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    [daemon] = [int(path.name) for path in tmp_path.iterdir()]
    assert daemon in below
    try:
        assert gone([daemon, *below], 10)
    finally:
        for pid in filter(alive, below):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_launcher_that_stays_stopped_is_ended_by_who_started_it(
    tmp_path: Path,
) -> None:
    process = owner(ATTACKS["stops both"], tmp_path, "plain")
    assert process.stdout is not None
    assert process.stdout.readline() == "over\n"
    below = descendants(process.pid)
    assert len(below) >= 4
    assert gone(below, 10)
    process.communicate()
