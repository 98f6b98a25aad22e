"""Lua scripts beyond a limit, on a real worker, which continues."""

import json
from typing import Any

import pytest
from command_shell import Shell
from flow_documents import at, step

pytestmark = pytest.mark.slow

TIME_S = 1.0
MEMORY = 32 * 1024 * 1024
LATE = f"timed out after {TIME_S:g} s"
LARGE = f"used more than {MEMORY} bytes of memory"

EXCESSES = {
    "loop": ("while true do end", LATE),
    "pcall": ("while true do pcall(error) end", LATE),
    "coroutine": (
        "while true do coroutine.wrap(function() coroutine.yield() end)() end",
        LATE,
    ),
    "pattern": ("return (('a'):rep(3e4)):find('.-.-.-.-b$')", LATE),
    "string": ("return ('x'):rep(1e9)", LARGE),
    "recursion": ("local function f() return 1 + f() end return f()", LARGE),
    "table": ("local t = {} for n = 1, 1e9 do t[n] = n end", LARGE),
}


def caught(name: str) -> dict[str, Any]:
    return {
        "kind": "try",
        "body": step(name, at("$.n"), f"$.{name}.result"),
        "catch": {"kind": "let", "at": f"$.{name}.caught", "value": at("$.err")},
        "err_at": at("$.err"),
    }


def lua(name: str, source: str) -> dict[str, Any]:
    limits = {"time_s": TIME_S, "memory_bytes": MEMORY}
    return {"name": name, "kind": "lua", "spec": {"source": source, "limits": limits}}


def test_each_excess_ends_in_time_with_a_reason_and_the_worker_continues(shell: Shell):
    children = [step("pid", at("$.n"), "$.before")]
    for name in EXCESSES:
        after = [
            step("next", at("$.n"), f"$.{name}.next"),
            step("pid", at("$.n"), f"$.{name}.pid"),
        ]
        children += [caught(name), *after]
    agents = [lua(name, source) for name, (source, _) in EXCESSES.items()]
    agents.append(lua("next", "return _CTX + 1"))
    agents.append({"name": "pid", "kind": "python_fn", "spec": {"fn_id": "e2e-pid"}})
    flow = {"kind": "seq", "children": children}
    file = shell.write(flow, agents=agents, default_init_ctx={"n": 6})

    # One process makes all steps, so what it is when asked is what ran the scripts.
    assert shell.run("run", file, "--concurrency", "1", "--json") == 0, shell.err
    got = json.loads(shell.out)
    ctx = got["ctx"]
    for name, (_, reason) in EXCESSES.items():
        error = ctx[name]["caught"]
        assert error.startswith(f"dispatcher error for ref '{name}': {reason}")
        assert ctx[name]["next"] == 7
        assert ctx[name]["pid"] == ctx["before"]
    steps = {one["agent"]: one for one in got["steps"] if one["agent"] in EXCESSES}
    assert {one["status"] for one in steps.values()} == {"failed"}
    assert len(steps) == len(EXCESSES)
    assert {name: one["attempts"] for name, one in steps.items()} == dict.fromkeys(
        EXCESSES, 1
    )
    slow = {
        n: one["seconds"] for n, one in steps.items() if one["seconds"] >= TIME_S + 1
    }
    assert slow == {}
    assert shell.workers() == []
