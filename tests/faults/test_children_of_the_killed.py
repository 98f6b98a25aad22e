"""kill -9 of a whole worker: no process its agents' programs started is left."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from fault_installation import Installation, step
from living_processes import alive

from engine.blueprint.program import Agent

# Seven processes: plain, in sessions of their own, forked twice; each notes its pid.
TREE = """
import os, sys, time
def note(): open(os.path.join(sys.argv[1], str(os.getpid())), 'w').close()
note()
for daemon in (False, True, True):
    if os.fork() == 0:
        if daemon:
            os.setsid()
            if os.fork(): os._exit(0)
            os.setsid()
        if os.fork() == 0: os.setsid()
        note()
        time.sleep(120)
time.sleep(120)
"""
TREE_SIZE = 7


def members(group: int) -> list[int]:
    """Return the processes of a worker: its group, main process first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            found.append(int(entry.parent.name))
    return sorted(found, key=lambda pid: pid != group)


def launch_tree(installation: Installation, folder: Path) -> list[int]:
    """Start a run whose agent's program makes the tree; returns the tree's pids."""
    folder.mkdir()
    spec: dict[str, Any] = {
        "program": sys.executable,
        "args": ["-I", "-S", "-B", "-c", TREE, str(folder)],
    }
    tree = Agent("tree", "subprocess", "swarm.subprocess", 60_000, spec=spec)
    installation.launch(step("tree"), {"n": 1}, tree=tree)
    return installation.until(
        lambda: [int(path.name) for path in folder.iterdir()],
        lambda found: len(found) == TREE_SIZE,
        30,
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_no_process_of_a_program_outlives_the_whole_worker(
    installation: Installation,
) -> None:
    for how in ("group", "main first", "children first"):
        worker = installation.worker(concurrency=2)
        pids = launch_tree(installation, installation.var / how.replace(" ", "-"))
        assert len(pids) == TREE_SIZE
        assert all(map(alive, pids))
        if how == "group":
            os.killpg(worker.pid, signal.SIGKILL)
        else:
            those = members(worker.pid)
            assert len(those) >= 3
            for pid in those if how == "main first" else reversed(those):
                os.kill(pid, signal.SIGKILL)
        worker.wait(10)
        left = installation.until(
            lambda pids=pids: [pid for pid in pids if alive(pid)],
            lambda found: not found,
            5,
        )
        assert left == [], how
        # Else the next worker would make the step again.
        installation.store.wire.call("FLUSHALL")
