"""A sandbox per test module, and the two ways to run a script in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.ports import NO_INPUT, LuaFault, LuaLimits, LuaScript
from workers.lua import SandboxHost

MIB = 1024 * 1024
LIMITS = LuaLimits(seconds=10.0, memory=32 * MIB, output=MIB)


@pytest.fixture(scope="module")
def host() -> Iterator[SandboxHost]:
    """A host whose processes end with the module."""
    made = SandboxHost()
    yield made
    made.close()


@pytest.fixture
def lua(host: SandboxHost) -> Callable[..., Any]:
    """Runs a source text and returns its value."""

    def run(
        source: str, given: Any = NO_INPUT, limits: LuaLimits = LIMITS, **more: Any
    ) -> Any:
        talk = {name: more.pop(name) for name in ("emit", "cancelled") if name in more}
        script = LuaScript(source, **{"label": "s.lua", "input": given, **more})
        return host.run(script, limits, **talk)

    return run


@pytest.fixture
def fault(lua: Callable[..., Any]) -> Callable[..., LuaFault]:
    """Runs a source text that gives no result and returns why."""

    def run(source: str, *args: Any, **more: Any) -> LuaFault:
        with pytest.raises(LuaFault) as caught:
            lua(source, *args, **more)
        return caught.value

    return run
