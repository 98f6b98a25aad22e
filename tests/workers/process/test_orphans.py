"""No orphan: whoever of worker, guard and launcher is killed, nothing below is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from living_processes import alive
from waiting import until

from workers.process.job import ChildLimits, environment
from workers.process.runner import Finished, ProcessRunner

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs a subreaper and /proc"
)
ROOT = Path(__file__).resolve().parents[3]

# A job with a tree below it: every process writes its pid into the directory given.
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
OWNER = """
import sys
sys.path.insert(0, sys.argv[1])
from workers.process.job import ChildLimits
from workers.process.runner import ProcessRunner
ProcessRunner().run([sys.executable, '-I', '-S', '-c', sys.argv[2], sys.argv[3]],
    stdin=b'x' * 1000000, env={}, cwd=None, timeout=100, max_output=10,
    limits=ChildLimits())
"""
TREE_SIZE = 7


def run(runner: ProcessRunner, *argv: str, timeout: float = 30) -> Finished:
    return runner.run(
        list(argv),
        stdin=None,
        env=environment(),
        cwd=None,
        timeout=timeout,
        max_output=1000,
        limits=ChildLimits(),
    )


def below(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            found += [child, *below(child)]
    return found


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


def gone(those: list[int]) -> bool:
    # A zombie is dead; who reaps it is PID 1's business.
    return not any(map(alive, those))


@pytest.fixture
def runner() -> Iterator[ProcessRunner]:
    # Other tests of the session may keep a server of theirs below this process.
    before = set(below(os.getpid()))
    made = ProcessRunner()
    yield made
    made.close()
    until(lambda: set(below(os.getpid())) <= before, 2)


def guard_of(runner: ProcessRunner) -> int:
    (launcher,) = runner.launchers.all
    return launcher.process.pid


def in_background(runner: ProcessRunner, folder: Path) -> tuple[list[Finished], object]:
    done: list[Finished] = []
    argv = [sys.executable, "-I", "-S", "-B", "-c", TREE, str(folder)]
    thread = threading.Thread(target=lambda: done.append(run(runner, *argv)))
    thread.start()
    until(lambda: len(pids(folder)) == TREE_SIZE, 10)
    return done, thread


@pytest.mark.parametrize("round_", range(3))
def test_kill_of_the_owner(tmp_path: Path, round_: int) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(ROOT), TREE, str(tmp_path)],
        stderr=subprocess.DEVNULL,
    )
    until(lambda: len(pids(tmp_path)) == TREE_SIZE, 15)
    everyone = [pid for pid in below(owner.pid) if alive(pid)]
    assert len(everyone) == TREE_SIZE + 2
    owner.kill()
    took = until(lambda: gone(everyone + pids(tmp_path)), 3)
    owner.wait()
    print(f"gone {took * 1000:.0f} ms after the kill")


@pytest.mark.parametrize("who", ["guard", "launcher"])
def test_kill_of_guard_or_launcher_during_a_job(
    runner: ProcessRunner, tmp_path: Path, who: str
) -> None:
    done, thread = in_background(runner, tmp_path)
    guard = guard_of(runner)
    (launcher,) = children(guard)
    if who == "launcher":
        os.kill(launcher, signal.SIGKILL)
        thread.join(5)  # type: ignore[attr-defined]
        (end,) = done
        assert end.error == "its launcher ended while it ran; it was killed"
        assert gone(pids(tmp_path))
    else:
        os.kill(guard, signal.SIGKILL)
        time.sleep(0.2)
        assert not done
        runner.close()  # a close while it runs is an end of file too
        thread.join(5)  # type: ignore[attr-defined]
        until(lambda: gone(pids(tmp_path)), 3)
    assert run(runner, "echo", "on").stdout == b"on\n"


def children(pid: int) -> list[int]:
    return [
        int(text)
        for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


@pytest.mark.slow
def test_a_stopped_launcher_does_not_block_the_caller(
    runner: ProcessRunner, tmp_path: Path
) -> None:
    run(runner, "true")
    (launcher,) = children(guard_of(runner))
    everyone = [guard_of(runner), launcher]
    os.kill(launcher, signal.SIGSTOP)
    begun = time.monotonic()
    done = run(runner, "sleep", "60", timeout=0.5)
    assert done.timed_out
    assert time.monotonic() - begun < 1.5
    assert done.error is not None
    until(lambda: gone(everyone), 4)


@pytest.mark.parametrize("who", ["guard", "launcher"])
def test_a_launcher_killed_in_between_is_replaced(
    runner: ProcessRunner, who: str
) -> None:
    for _ in range(5):
        assert run(runner, "echo", "a").stdout == b"a\n"
        guard = guard_of(runner)
        victim = guard if who == "guard" else children(guard)[0]
        os.kill(victim, signal.SIGKILL)
        assert run(runner, "echo", "b").stdout == b"b\n"
    assert len(runner.launchers.all) == 1


def test_polite_signals_do_not_end_a_launcher(runner: ProcessRunner) -> None:
    run(runner, "true")
    guard = guard_of(runner)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.killpg(guard, number)
    assert run(runner, "echo", "a").stdout == b"a\n"
    assert guard_of(runner) == guard


def test_a_forked_child_has_its_own(runner: ProcessRunner) -> None:
    run(runner, "true")
    guard = guard_of(runner)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            done = run(runner, "echo", "child")
            code = 0 if done.stdout == b"child\n" and guard_of(runner) != guard else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert run(runner, "echo", "parent").stdout == b"parent\n"
    assert guard_of(runner) == guard


def test_a_forked_child_does_not_keep_the_parents_job(tmp_path: Path) -> None:
    code = OWNER.replace(
        "ProcessRunner()",
        "import os, threading, time\nfrom pathlib import Path\n"
        "def later():\n"
        "    while len(os.listdir(sys.argv[3])) < 7: time.sleep(0.01)\n"
        "    if os.fork() == 0: time.sleep(20)\n"
        "    (Path(sys.argv[3]).parent / 'forked').touch()\n"
        "threading.Thread(target=later, daemon=True).start()\n"
        "ProcessRunner()",
    )
    folder = tmp_path / "pids"
    folder.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), TREE, str(folder)],
        stderr=subprocess.DEVNULL,
    )
    until((tmp_path / "forked").exists, 15)
    forked = [pid for pid in below(owner.pid) if _is_copy_of(pid, owner.pid)]
    owner.kill()
    owner.wait()
    until(lambda: gone(pids(folder)), 3)
    for pid in forked:
        os.kill(pid, signal.SIGKILL)
    assert len(forked) == 1


def _is_copy_of(pid: int, other: int) -> bool:
    return (
        Path(f"/proc/{pid}/cmdline").read_bytes()
        == Path(f"/proc/{other}/cmdline").read_bytes()
    )


def test_cost_of_a_launch(runner: ProcessRunner) -> None:
    begun = time.perf_counter()
    run(runner, "true")
    first = time.perf_counter() - begun
    costs = []
    for _ in range(100):
        begun = time.perf_counter()
        run(runner, "true")
        costs.append(time.perf_counter() - begun)
    median = sorted(costs)[50]
    print(f"first {first * 1000:.1f} ms, then {median * 1000:.2f} ms")
    assert median < 0.05
