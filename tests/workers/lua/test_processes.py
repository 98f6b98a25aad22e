"""The sandbox's processes: what they may do, and that they never outlive the worker."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living_processes import alive

from engine.ports import LuaFault, LuaLimits, LuaScript
from workers.lua import SandboxHost
from workers.lua.host import address_space
from workers.process.posix import children

REPO = Path(__file__).resolve().parents[3]
LIMITS = LuaLimits(seconds=20.0, memory=32 << 20, output=1 << 20)
MARK = "sandbox_process.py"

OWNER = """
import os, sys
import django
django.setup()
from engine.ports import LuaLimits, LuaScript
from workers.lua import SandboxHost
host = SandboxHost()
limits = LuaLimits(60.0, 32 << 20, 1 << 20)
host.run(LuaScript("return 1"), limits)
print("up", flush=True)
host.run(LuaScript(sys.argv[1]), limits)
"""


@pytest.fixture
def own() -> Iterator[SandboxHost]:
    """A host of the test's own."""
    made = SandboxHost()
    yield made
    made.close()


def value(host: SandboxHost, source: str, **more: Any) -> Any:
    return host.run(LuaScript(source, **more), LIMITS)


def processes(pid: int) -> list[int]:
    """The sandbox's host and the sandbox below a process, in this order."""
    found, waiting = [], [pid]
    while waiting:
        for child in children(waiting.pop(0)):
            waiting.append(child)
            with contextlib.suppress(OSError):
                if MARK in Path(f"/proc/{child}/cmdline").read_text():
                    found.append(child)
    return found


def wait_for_end(pids: list[int]) -> list[int]:
    until = time.monotonic() + 10
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def test_one_sandbox_is_reused(own: SandboxHost) -> None:
    value(own, "return 1")
    before = processes(os.getpid())
    assert len(before) == 2
    value(own, "return 1")
    with pytest.raises(LuaFault):
        value(own, "error('mine')")
    assert processes(os.getpid()) == before


def test_a_sandbox_is_replaced_before_it_grows_old(
    own: SandboxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.lua.host.MAX_CALLS", 2)
    seen = []
    for _ in range(4):
        value(own, "host.look()", functions={"look": lambda _: seen.append(last())})
    assert seen[0] == seen[1] != seen[2] == seen[3]


def last() -> int:
    return processes(os.getpid())[-1]


def test_a_sandbox_has_no_rights_and_no_secrets(
    own: SandboxHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARM_SECRET_KEY", "canary")
    value(own, "return 1")
    _, sandbox = processes(os.getpid())
    limits = Path(f"/proc/{sandbox}/limits").read_text()
    soft = {line[:26].strip(): line[26:47].strip() for line in limits.splitlines()}
    assert soft["Max open files"] == "3"
    assert soft["Max file size"] == soft["Max core file size"] == "0"
    assert soft["Max processes"] == "0"
    # The host's own size, which is a fork's too, and what scripts may take.
    own_size = int(soft["Max address space"]) - address_space()
    assert 0 < own_size < 1 << 30
    # As many are open as may be: not one more can be.
    assert sorted(os.listdir(f"/proc/{sandbox}/fd")) == ["0", "1", "2"]
    environ = Path(f"/proc/{sandbox}/environ").read_bytes()
    assert b"canary" not in environ
    assert {part.split(b"=")[0] for part in environ.split(b"\0") if part} <= {
        b"PATH", b"LD_LIBRARY_PATH", b"DYLD_LIBRARY_PATH", b"LC_CTYPE",
        b"GLIBC_TUNABLES",
    }  # fmt: skip
    assert os.readlink(f"/proc/{sandbox}/cwd") == "/"


@pytest.mark.parametrize("which", [0, 1], ids=["host", "sandbox"])
def test_a_process_that_was_killed_meanwhile_is_replaced(
    which: int, own: SandboxHost
) -> None:
    value(own, "return 1")
    pid = processes(os.getpid())[which]
    os.kill(pid, signal.SIGKILL)
    assert wait_for_end([pid]) == []
    assert value(own, "return 2") == 2


def launchers() -> list[int]:
    """The guard and the launcher below it."""
    (guard,) = [
        pid
        for pid in children(os.getpid())
        if "launcher.py" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    return [guard, *children(guard)]


def test_a_launcher_that_was_killed_meanwhile_is_replaced(own: SandboxHost) -> None:
    value(own, "return 1")
    before = processes(os.getpid())
    os.kill(launchers()[1], signal.SIGKILL)
    assert wait_for_end(before) == []
    assert value(own, "return 2") == 2


def test_without_its_guard_all_still_ends_with_the_worker(own: SandboxHost) -> None:
    value(own, "return 1")
    before = processes(os.getpid())
    os.kill(launchers()[0], signal.SIGKILL)
    assert value(own, "return 2") == 2
    own.close()
    assert wait_for_end(before) == []


def test_a_sandbox_that_dies_at_work_fails_that_script_only(own: SandboxHost) -> None:
    def kill(_: Any) -> None:
        os.kill(processes(os.getpid())[1], signal.SIGKILL)

    with pytest.raises(LuaFault, match="the sandbox was killed by signal 9") as caught:
        value(own, "host.kill() return 1", functions={"kill": kill})
    assert (caught.value.kind, caught.value.permanent) == ("sandbox", False)
    assert value(own, "return 2") == 2


def test_an_interrupt_in_a_host_function_ends_the_script(own: SandboxHost) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        value(own, "pcall(host.stop) while true do end", functions={"stop": interrupt})
    assert value(own, "return 2") == 2


def test_threads_have_sandboxes_of_their_own(own: SandboxHost) -> None:
    meet = threading.Barrier(2, timeout=20)
    got: list[Any] = []

    def one(n: int) -> None:
        got.append(
            value(
                own,
                f"return host.meet({n})",
                functions={"meet": lambda v: meet.wait() and v},
            )
        )

    threads = [threading.Thread(target=one, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 2
    assert value(own, "return 3") == 3


def test_a_host_function_may_run_another_script(own: SandboxHost) -> None:
    def inner(n: Any) -> Any:
        return value(own, "return _CTX + 1", input=n)

    assert value(own, "return host.inner(1)", functions={"inner": inner}) == 2


def test_a_forked_child_has_a_sandbox_of_its_own() -> None:
    code = (
        "import os, django; django.setup()\n"
        "from engine.ports import LuaLimits, LuaScript\n"
        "from workers.lua import SandboxHost\n"
        "host = SandboxHost(); limits = LuaLimits(20.0, 32 << 20, 1 << 20)\n"
        "print(host.run(LuaScript('return 1'), limits), flush=True)\n"
        "if os.fork() == 0:\n"
        "    print(host.run(LuaScript('return 2'), limits), flush=True)\n"
        "    host.close(); os._exit(0)\n"
        "os.wait()\n"
        "print(host.run(LuaScript('return 3'), limits))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPO,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "swarm_project.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["1", "2", "3"], done.stderr


def test_nothing_outlives_a_worker_that_is_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, "while true do end"],
        cwd=REPO,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "swarm_project.settings"},
        stdout=subprocess.PIPE,
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        below = processes(owner.pid)
        assert len(below) == 2
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    assert wait_for_end(below) == []


def test_close_ends_all_and_a_later_script_starts_anew(own: SandboxHost) -> None:
    value(own, "return 1")
    before = processes(os.getpid())
    own.close()
    assert wait_for_end(before) == []
    assert value(own, "return 2") == 2


def test_a_sandbox_that_cannot_start_gives_the_reason(
    own: SandboxHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("workers.lua.link.lupa_folder", lambda: str(tmp_path))
    with pytest.raises(LuaFault, match=r"can't start: ModuleNotFoundError: .*lupa"):
        value(own, "return 1")


def test_a_sandbox_that_does_not_get_ready_in_time_is_given_up(
    own: SandboxHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lupa").mkdir()
    (tmp_path / "lupa" / "__init__.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr("workers.lua.link.lupa_folder", lambda: str(tmp_path))
    monkeypatch.setattr("workers.lua.link.START_S", 0.5)
    with pytest.raises(LuaFault, match="no sandbox can be started: timed out"):
        value(own, "return 1")
