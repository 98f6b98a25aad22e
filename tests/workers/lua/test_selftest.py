"""The doctor's self-test passes here, and fails if the sandbox has a hole."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blueprints.conf import lua_host
from engine.ports import LuaFault, LuaLimits, LuaScript, never
from engine.run.journal.outputs import OutputEvent, no_output
from workers.doctor.checks import examine
from workers.lua import SandboxHost, link
from workers.lua.selftest import self_test


class Leaky:
    """A host whose scripts find a library in their globals, and whose limits are off."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host

    def run(
        self,
        script: LuaScript,
        limits: LuaLimits,
        *,
        emit: Callable[[OutputEvent], None] = no_output,
        cancelled: Callable[[], bool] = never,
    ) -> Any:
        if "while true" in script.source:
            return None
        leaky = LuaScript(
            script.source, script.label, script.input, globals={"os": {"execute": 1}}
        )
        wide = LuaLimits(limits.seconds, 4 * limits.memory, 4 * limits.output)
        return self.host.run(leaky, wide)

    def close(self) -> None:
        self.host.close()


def test_the_sandbox_has_no_hole(host: SandboxHost) -> None:
    assert self_test(host) == ("Lua 5.4", [])


def test_a_sandbox_with_a_hole_is_reported(host: SandboxHost) -> None:
    assert self_test(Leaky(host)) == (
        "Lua 5.4",
        ["a script reaches os", "a loop is not ended", "a large result is not refused"],
    )


def root_may_fork() -> bool:
    """Whether this user starts processes beyond any limit on them, as root does."""
    code = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
        "if os.fork() == 0: os._exit(0)"
    )
    argv = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(argv, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_the_limits_that_are_not_enforced_are_known_by_trying(
    host: SandboxHost,
) -> None:
    assert host.unenforced() == (["processes"] if root_may_fork() else [])
    # A sandbox that is under way is not disturbed.
    assert host.run(LuaScript("return 1"), LuaLimits(10.0, 1 << 25, 1 << 20)) == 1
    assert host.unenforced() == host.unenforced()


@pytest.fixture
def without_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sandboxes as on a system that can't limit a process: every call for it fails."""
    program = tmp_path / "sandbox_process.py"
    program.write_text(
        "import resource, runpy\n"
        "def refuse(*_): raise OSError('not on this system')\n"
        "resource.setrlimit = refuse\n"
        f"runpy.run_path({link.PROGRAM!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(link, "PROGRAM", str(program))
    # The host of this process may have a sandbox with limits, from another test.
    lua_host().close()


@pytest.mark.django_db
@pytest.mark.usefixtures("without_limits")
def test_the_doctor_reports_which_limits_the_host_does_not_enforce() -> None:
    found = {finding.name: finding for finding in examine()}
    assert found["lua"].level == "warn"
    assert found["lua"].text.endswith(
        "this host does not enforce these process limits: memory, open files, processes,"
        " file size"
    )
    assert found["lua"].hint


@pytest.mark.django_db
def test_the_doctor_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {finding.name: finding for finding in examine()}
    assert found["lua"].level == ("warn" if root_may_fork() else "ok")
    assert "Lua 5.4 in a sandbox" in found["lua"].text

    def broken(_: Any) -> Any:
        raise LuaFault("sandbox", "no sandbox can be started: no memory")

    monkeypatch.setattr("workers.doctor.checks.self_test", broken)
    found = {finding.name: finding for finding in examine()}
    assert found["lua"].level == "fail"
    assert "no sandbox can be started" in found["lua"].text
