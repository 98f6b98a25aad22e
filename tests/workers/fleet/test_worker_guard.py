"""The guard of a worker: processes that a killed worker's agents left behind are ended."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from living_processes import alive

from workers.fleet import worker_guard

# A worker whose agents left a process in a session of its own, forked twice, and one
# that looks like a launcher; then everything in its own group is killed, or lives on.
WORKER = """
import os, signal, subprocess, sys, time
folder = sys.argv[1]
def leave(name):
    # Before it is adopted: it may be ended at once then.
    pid = os.fork()
    if pid:
        while not os.path.exists(os.path.join(folder, f'{name}.{pid}')): time.sleep(0.01)
        os._exit(0)
if os.fork() == 0:
    os.setsid()
    leave('stray')
    os.setsid()
    open(os.path.join(folder, f'stray.{os.getpid()}'), 'w').close()
    time.sleep(60)
if os.fork() == 0:
    leave('named')
    os.setsid()
    open(os.path.join(folder, f'named.{os.getpid()}'), 'w').close()
    os.execv(sys.executable, [sys.executable, '-c',
        'import time; time.sleep(60)', 'workers/process/launcher.py'])
while len(os.listdir(folder)) < 2: time.sleep(0.01)
if sys.argv[2] == 'lives':
    time.sleep(60)
os.killpg(0, signal.SIGKILL)
"""
GUARD = """
import sys
import pytest

from workers.fleet import worker_guard
from workers.process import orphans
worker_guard.COURTESY_S = orphans.COURTESY_S = 1.0
worker_guard.LOOK_S = 0.2
sys.exit(worker_guard.main())
"""


def pids(folder: Path) -> list[int]:
    return [int(path.suffix[1:]) for path in folder.iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["dies", "lives"])
def test_what_a_worker_left_in_other_sessions_is_ended_whatever_its_name(
    tmp_path: Path, worker: str
) -> None:
    script, folder = tmp_path / "worker.py", tmp_path / "pids"
    script.write_text(WORKER)
    folder.mkdir()
    guard = subprocess.Popen(
        [
            *(sys.executable, "-c", GUARD, '{"tries": 1, "alone": true}'),
            *(sys.executable, str(script), str(folder), worker),
        ],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        if worker == "dies":
            assert guard.wait(30) == worker_guard.GAVE_UP
        else:
            until = time.monotonic() + 20
            while len(list(folder.iterdir())) < 2 or any(map(alive, pids(folder))):
                assert time.monotonic() < until
                time.sleep(0.02)
            assert guard.poll() is None
        assert not any(map(alive, pids(folder)))
    finally:
        guard.terminate()
        guard.wait(30)


# A worker that notes a SIGTERM and does not end by it; it may say that it consumes.
BOOTING = """
import os, signal, sys, time
def told(*_):
    open(os.path.join(sys.argv[1], 'told'), 'w').close()
    if sys.argv[2] == 'ready': os._exit(0)
signal.signal(signal.SIGTERM, told)
if sys.argv[2] == 'ready': os.write(int(os.environ['SWARM_READY_FD']), b'1')
open(os.path.join(sys.argv[1], f'up.{os.getpid()}'), 'w').close()
while True: time.sleep(60)
"""


@pytest.mark.parametrize("state", ["booting", "ready"])
def test_a_worker_that_does_not_consume_yet_is_ended_at_once(
    tmp_path: Path, state: str
) -> None:
    command = [sys.executable, "-I", "-S", worker_guard.__file__]
    command.append('{"tries": 1, "alone": false}')
    script, folder = tmp_path / "worker.py", tmp_path / "notes"
    script.write_text(BOOTING)
    folder.mkdir()
    worker = [sys.executable, str(script), str(folder), state]
    with subprocess.Popen(
        [*command, *worker], stdin=subprocess.PIPE, start_new_session=True
    ) as guard:
        until = time.monotonic() + 30
        while not list(folder.glob("up.*")) and time.monotonic() < until:
            time.sleep(0.01)
        [pid] = pids(folder)
        assert guard.stdin is not None
        guard.stdin.close()
        # Less than the time that a worker which consumes may take.
        assert guard.wait(worker_guard.PATIENCE_S / 2) == 0
    assert not alive(pid)
    assert (folder / "told").exists() == (state == "ready")
