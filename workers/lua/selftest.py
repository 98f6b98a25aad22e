"""The self-test of the sandbox, which `manage.py doctor` runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from engine.ports import LuaFault, LuaHost, LuaLimits, LuaScript

MIB: Final = 1024 * 1024
LIMITS: Final = LuaLimits(seconds=10.0, memory=8 * MIB, output=MIB)

# Returns its input, and those names it can reach that no script may reach.
_LOOK: Final = """
local found = json.array()
for _, name in ipairs({
  "os", "io", "package", "debug", "python", "load", "loadstring", "loadfile", "dofile",
  "collectgarbage", "getmetatable", "setmetatable", "warn",
}) do
  if _G[name] ~= nil then found[#found + 1] = name end
end
if string.dump or (""):rep(1).dump then found[#found + 1] = "string.dump" end
return {given = _CTX, found = found, version = _VERSION}
"""
_GIVEN: Final[dict[str, Any]] = {"a": [1, 2.5, None, [], {}], "b": "ä"}


def self_test(host: LuaHost) -> tuple[str, list[str]]:
    """Return the version of Lua and the faults found; raises LuaFault if no script runs."""
    got = host.run(LuaScript(_LOOK, "selftest", _GIVEN), LIMITS)
    faults = [f"a script reaches {name}" for name in got["found"]]
    if got["given"] != _GIVEN:
        faults.append("JSON comes back changed")
    faults += _limits(host)
    return str(got["version"]), faults


def _limits(host: LuaHost) -> Iterator[str]:
    short = replace(LIMITS, seconds=0.2)
    for kind, source, what in (
        ("time", "while true do pcall(error) end", "a loop is not ended"),
        ("memory", "return #('x'):rep(1e9)", "a large string is not refused"),
        ("output", "return ('x'):rep(2e6)", "a large result is not refused"),
    ):
        try:
            host.run(LuaScript(source, "selftest"), short if kind == "time" else LIMITS)
        except LuaFault as fault:
            if fault.kind == kind:
                continue
            what = f"{what}: {fault.text}"
        yield what
