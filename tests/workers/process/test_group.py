"""The process group of a job is killed while its number is surely the job's own."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
# A process of its own: a sweep kills everything below the one that calls it.
JOB = """
import os, socket, sys, time
from workers.process import launcher

ours, _ = socket.socketpair()
made = launcher.Launcher(ours, os.getppid())
made.reaped = {}
if (job := os.fork()) == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(3)
while not made._ended(job):
    time.sleep(0.01)
killed, killpg = [], os.killpg
def noted(group, number):
    # Its leader is dead and not reaped: no other process can have its number.
    killed.append((group == job, open(f"/proc/{group}/stat").read().split()[2]))
    killpg(group, number)
os.killpg = noted
swept, ends = launcher.sweep(job, made.reaped)
print(set(killed), os.waitstatus_to_exitcode(ends[job][0]))
del killed[:]
launcher.sweep(job, ends)
print(killed)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_job_that_ended_is_reaped_after_its_group_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.splitlines() == ["{(True, 'Z')} 3", "[]"], done.stderr
