"""A program that kills all its guards but the command: its daemon is ended."""

import os
import signal
import sys
from pathlib import Path

import pytest
from command_shell import Shell
from living_processes import alive

from workers.process.posix import children

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="needs a subreaper and /proc"
    ),
]

# The first attempt leaves a daemon and kills what is above it; the next one ends well.
ATTACK = """
import os, signal, sys, time
if os.path.exists(sys.argv[1]):
    print('{}')
    sys.exit()
above, pid = [], os.getppid()
while True:
    line = open(f'/proc/{pid}/cmdline').read()
    if 'manage.py' in line:
        break
    above.append(pid)
    pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(sys.argv[1] + '.new', 'w') as note: note.write(str(os.getpid()))
    os.rename(sys.argv[1] + '.new', sys.argv[1])
    time.sleep(300)
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
for pid in reversed(above): os.kill(pid, signal.SIGKILL)
time.sleep(60)
"""


def attack(shell: Shell) -> tuple[Path, Path]:
    """Write the Blueprint of the attack; its file, and where the daemon's pid will be."""
    note = shell.var / "daemon"
    script = shell.var / "attack.py"
    script.write_text(ATTACK)
    argv = [sys.executable, "-I", "-S", str(script), str(note)]
    agent = {"name": "evil", "kind": "subprocess", "spec": {"argv": argv}}
    flow = {
        "kind": "step",
        "ref": "evil",
        "in": {"op": "lit", "value": 1},
        "out": {"op": "path", "at": "$.y"},
    }
    return shell.write(flow, agents=[agent]), note


def test_a_run_ends_what_killed_guards_left(shell: Shell) -> None:
    file, note = attack(shell)
    assert shell.run("run", file, "--concurrency", "1") == 0, shell.err
    daemon = int(note.read_text())
    try:
        assert not alive(daemon)
    finally:
        if alive(daemon):
            os.kill(daemon, signal.SIGKILL)


def test_up_ends_what_killed_guards_left_and_spares_the_server(shell: Shell) -> None:
    file, note = attack(shell)
    lock = shell.var / "redis" / "supervisor.lock"
    up = shell.start("up", "--concurrency", "1")
    try:
        shell.until(lambda: "launch" in shell.out)
        first = int(lock.read_text())
        os.kill(first, signal.SIGKILL)
        shell.until(lambda: int(lock.read_text() or first) != first)
        supervisor = int(lock.read_text())
        # Adopted as the daemon will be.
        shell.until(lambda: supervisor in children(up.pid))

        assert shell.run("run", file, "--keep-workers") == 0, shell.err
        daemon = int(note.read_text())
        shell.until(lambda: not alive(daemon))
        assert up.poll() is None
        assert alive(supervisor)
        assert int(lock.read_text()) == supervisor
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
