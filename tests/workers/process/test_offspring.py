"""What agents' code leaves behind in a worker child is found and ended."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
# A process of its own: being a subreaper would change every test that follows.
CHILD = """
import os, sys, time
from workers.process.offspring import adopt_orphans, end_own_offspring, strays

assert end_own_offspring() == 0
adopt_orphans()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
os.wait()
until = time.monotonic() + 5
while not strays() and time.monotonic() < until:
    time.sleep(0.01)
[pid] = strays()
print(end_own_offspring(), os.path.exists(f"/proc/{pid}"), strays())
"""


def test_a_double_forked_process_is_adopted_and_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.split() == ["1", "False", "[]"], done.stderr
