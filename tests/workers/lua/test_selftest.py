"""The doctor's self-test passes here, and fails where the sandbox does not hold."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.ports import LuaFault, LuaLimits, LuaScript, never
from engine.run.outputs import OutputEvent, no_output
from workers.doctor import examine
from workers.lua import SandboxHost
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


def test_the_sandbox_holds(host: SandboxHost) -> None:
    assert self_test(host) == ("Lua 5.4", [])


def test_a_sandbox_that_does_not_hold_is_told(host: SandboxHost) -> None:
    assert self_test(Leaky(host)) == (
        "Lua 5.4",
        ["a script reaches os", "a loop is not ended", "a large result is not refused"],
    )


@pytest.mark.django_db
def test_the_doctor_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {finding.name: finding for finding in examine()}
    assert found["lua"].level == "ok"
    assert "Lua 5.4 in a sandbox" in found["lua"].text

    def broken(_: Any) -> Any:
        raise LuaFault("sandbox", "no sandbox can be started: no memory")

    monkeypatch.setattr("workers.doctor.self_test", broken)
    found = {finding.name: finding for finding in examine()}
    assert found["lua"].level == "fail"
    assert "no sandbox can be started" in found["lua"].text
