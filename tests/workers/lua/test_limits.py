"""Limits of scripts: each excess ends in time, with a reason, and affects no other script."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.ports import LuaFault, LuaLimits
from engine.run.journal.outputs import Artifact, Log, OutputEvent, Partial, Progress
from workers.lua.host import MAX_MODULES

MIB = 1024 * 1024
SECONDS = 0.5
SHORT = LuaLimits(seconds=SECONDS, memory=32 * MIB, output=MIB, log=2000)
HUNGRY_LIMITS = LuaLimits(seconds=3.0, memory=32 * MIB, output=MIB)
LONG = LuaLimits(seconds=20.0, memory=32 * MIB, output=MIB, log=2000)

ENDLESS = {
    "a loop": "while true do end",
    "a loop that catches": "while true do pcall(error) end",
    "a loop that catches memory errors": (
        "while true do pcall(string.rep, 'x', 1e9) end"
    ),
    "a loop in coroutines": (
        "while true do coroutine.wrap(function() while true do coroutine.yield() end"
        " end)() end"
    ),
    "a loop inside a coroutine": (
        "coroutine.wrap(function() while true do end end)() return 1"
    ),
    "a pattern": "return (('a'):rep(3e4)):find('.-.-.-.-b$')",
    "a loop in an error handler": "xpcall(error, function() while true do end end)",
    "printing": "while true do print('x') end",
    "progress": "while true do emit.progress('x') end",
    "refused artifacts": (
        "local s = ('x'):rep(2e6) while true do pcall(emit.artifact, 'a', s) end"
    ),
}
HUNGRY = {
    "a string of 1 GB": "return ('x'):rep(1e9)",
    "a huge table": "local t = {} for n = 1, 1e9 do t[n] = n end",
    "deep recursion": "local function f() return 1 + f() end return f()",
    "deep recursion through pcall": (
        "local function f() return 1, pcall(f) end"
        " local t = table.pack(f()) return ('x'):rep(1e9)"
    ),
    "many coroutines": (
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end"
    ),
    "doubling": "local s = 'x' while true do s = s .. s end",
    "table.concat": "local t = {} for n = 1, 1e7 do t[n] = 'x' end return #table.concat(t)",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=list(ENDLESS))
def test_what_does_not_end_is_ended_and_the_next_script_runs(
    source: str, lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    lua("return 1")
    begun = time.monotonic()
    found = fault(source, limits=SHORT)
    assert time.monotonic() - begun < SECONDS + 1
    assert (found.kind, found.text) == ("time", "ran longer than 0.5 s")
    assert not found.permanent
    assert lua("return 2") == 2


@pytest.mark.parametrize("source", HUNGRY.values(), ids=list(HUNGRY))
def test_what_takes_too_much_memory_is_ended_and_the_next_script_runs(
    source: str, lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    lua("return 1")
    begun = time.monotonic()
    found = fault(source, limits=HUNGRY_LIMITS)
    assert time.monotonic() - begun < HUNGRY_LIMITS.seconds + 1
    assert found.kind == "memory"
    assert found.text == "used more than 33554432 bytes of memory"
    assert found.permanent
    assert lua("return 2") == 2


def test_the_memory_limit_is_the_scripts_own(lua: Callable[..., Any]) -> None:
    source = "return #('x'):rep(%d)"
    assert lua(source % (20 * MIB), limits=LuaLimits(10, 64 * MIB, MIB)) == 20 * MIB
    with pytest.raises(LuaFault, match="used more than 33554432 bytes"):
        lua(source % (20 * MIB), limits=LuaLimits(10, 32 * MIB, MIB))
    with pytest.raises(LuaFault, match="used more than 1048576 bytes"):
        lua(source % (2 * MIB), limits=LuaLimits(10, MIB, MIB))


def test_a_memory_error_can_be_caught(lua: Callable[..., Any]) -> None:
    assert lua("return {pcall(string.rep, 'x', 1e9)}") == [False, "not enough memory"]


@pytest.mark.parametrize(
    "source",
    [
        "local function f() return f(), 1 end return f()",
        "return ('a'):gsub('a', function(c) return c end, 1), f()",
        "local t = {} t.t = t return t",
        "local function f(n) return coroutine.wrap(f)(n) end return f(1)",
    ],
)
def test_nesting_without_end_is_an_error(
    source: str, fault: Callable[..., LuaFault]
) -> None:
    assert fault(source).kind in ("error", "memory", "result")


def test_a_source_nested_without_end_is_an_error(
    fault: Callable[..., LuaFault],
) -> None:
    found = fault("return " + "(" * 50_000 + "1" + ")" * 50_000)
    assert (found.kind, found.permanent) == ("syntax", True)


def test_a_result_beyond_its_limit_is_refused(
    lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    assert len(lua(f"return ('x'):rep({MIB - 2})")) == MIB - 2
    for source in (
        f"return ('x'):rep({MIB})",
        "return {('x'):rep(1e6), ('x'):rep(1e6)}",
        "local t = {} for n = 1, 60 do t = {t, t} end return t",
    ):
        found = fault(source)
        assert (found.kind, found.permanent) == ("output", True)
        assert found.text == "gave more than 1048576 bytes of output"


def test_partial_results_and_artifacts_count_as_output(
    fault: Callable[..., LuaFault],
) -> None:
    got: list[OutputEvent] = []
    source = "for n = 1, 3 do emit.artifact('a' .. n, ('x'):rep(4e5)) end"
    found = fault(source, emit=got.append)
    assert found.kind == "error"
    assert found.text == "s.lua:1: emit.artifact: more output than its limit"
    assert [type(event) for event in got] == [Artifact, Artifact]


def test_names_of_artifacts_count_as_output(fault: Callable[..., LuaFault]) -> None:
    got: list[OutputEvent] = []
    source = """
    local name = ('n'):rep(120)
    for n = 1, 1e9 do emit.artifact(name .. n, 1) end
    """
    found = fault(source, emit=got.append, limits=LONG)
    assert found.text == "s.lua:3: emit.artifact: more output than its limit"
    assert MIB / 150 < len(got) < MIB / 130


def test_the_smallest_events_count_as_output(fault: Callable[..., LuaFault]) -> None:
    got: list[OutputEvent] = []
    found = fault("while true do emit.partial(1) end", emit=got.append, limits=LONG)
    assert found.text == "s.lua:1: emit.partial: more output than its limit"
    assert len(got) < MIB / 16


def test_a_script_may_require_a_bounded_number_of_modules(
    lua: Callable[..., Any],
) -> None:
    calls: list[str] = []

    def find(name: str) -> str:
        calls.append(name)
        raise LookupError("not here")

    source = """
    for n = 1, MORE do pcall(require, 'm' .. n) end
    local fine, fault = pcall(require, 'last')
    return fault
    """.replace("MORE", str(MAX_MODULES))
    assert lua(source, find_module=find) == "a script requires at most 200 modules"
    assert len(calls) == MAX_MODULES


def test_events_of_a_script_come_in_order(lua: Callable[..., Any]) -> None:
    got: list[OutputEvent] = []
    source = """
    print("one", 2, nil, json.null, true)
    emit.progress("half", "of it")
    emit.progress(2)
    emit.partial({json.null})
    emit.artifact("notes", json.array())
    emit.artifact("ä", {a = 1})
    return "end"
    """
    assert lua(source, emit=got.append) == "end"
    assert got == [
        Log("one\t2\tnil\tnull\ttrue"),
        Progress("half", "of it"),
        Progress("2"),
        Partial([None]),
        Artifact("notes", []),
        Artifact("ä", {"a": 1}),
    ]


def test_a_log_beyond_its_limit_is_dropped_and_counted(
    lua: Callable[..., Any],
) -> None:
    got: list[OutputEvent] = []
    source = "for n = 1, 1000 do print(('x'):rep(100)) end return 1"
    assert lua(source, limits=SHORT, emit=got.append) == 1
    lines = [event.text for event in got if isinstance(event, Log)]
    assert 10 < len(lines) < 20
    assert lines[-1].endswith("more lines were dropped: the log is full)")
    assert f"({1000 - len(lines) + 1} more" in lines[-1]


def test_a_line_that_is_not_utf_8_is_reported(lua: Callable[..., Any]) -> None:
    got: list[OutputEvent] = []
    lua(r"print('\xff')", emit=got.append)
    assert got == [Log("(a line that is not UTF-8)")]


def test_a_host_function_that_hangs_is_interrupted(
    lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    begun = time.monotonic()
    functions = {"nap": lambda _: time.sleep(60)}
    found = fault("pcall(host.nap, 1) return 1", limits=SHORT, functions=functions)
    assert found.kind == "time"
    assert time.monotonic() - begun < SECONDS + 1
    assert lua("return 2") == 2


def test_a_host_function_that_calls_exit_is_an_error(
    fault: Callable[..., LuaFault],
) -> None:
    def leave(value: Any) -> None:
        raise SystemExit(value)

    found = fault("host.leave('now')", functions={"leave": leave})
    assert found.text == "host.leave: SystemExit: now"


def test_work_in_vain_is_ended(
    lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    begun = time.monotonic()
    found = fault("while true do end", cancelled=lambda: True)
    assert (found.kind, found.text) == ("cancelled", "cancelled")
    assert time.monotonic() - begun < 3
    assert lua("return 2") == 2


def test_work_in_vain_is_ended_though_the_script_keeps_talking(
    lua: Callable[..., Any], fault: Callable[..., LuaFault]
) -> None:
    begun = time.monotonic()
    found = fault(
        "while true do host.f(1) end",
        limits=LONG,
        functions={"f": lambda value: value},
        cancelled=lambda: time.monotonic() - begun > 0.3,
    )
    assert (found.kind, found.text) == ("cancelled", "cancelled")
    assert 0.3 < time.monotonic() - begun < 3
    assert lua("return 2") == 2


def test_errors_name_place_and_fault(fault: Callable[..., LuaFault]) -> None:
    found = fault("local t\nreturn t.x")
    assert (found.kind, found.permanent) == ("error", False)
    assert found.text == "s.lua:2: attempt to index a nil value (local 't')"
    found = fault("return = 1", label="grade.lua")
    assert (found.kind, found.permanent) == ("syntax", True)
    assert found.text == "grade.lua:1: unexpected symbol near '='"
    assert fault("error({code = 7})").text == '{"code":7}'
    assert fault("error()").text == "nil"
    found = fault("error({text = 'no such order', permanent = true})")
    assert (found.text, found.permanent) == ("no such order", True)
    assert fault(r"error('\xff', 0)").text == "?"
    assert len(fault("error(('x'):rep(1e6))").text) == 4000


def test_taking_a_runtime_apart_is_its_own_scripts_time(
    lua: Callable[..., Any],
) -> None:
    many = "local t = {} for n = 1, 1e6 do t[n] = {n} end return #t"
    large = LuaLimits(seconds=20.0, memory=256 * MIB, output=MIB)
    shares = []
    for _ in range(3):
        begun = time.monotonic()
        assert lua(many, limits=large) == 1_000_000
        ended = time.monotonic()
        assert lua("return 1") == 1
        shares.append((time.monotonic() - ended) / (ended - begun))
    # A hundredth, or a third and more. The first includes what the allocator tidies once.
    assert min(shares) < 0.1


def test_an_alarm_of_the_caller_outlives_a_script(lua: Callable[..., Any]) -> None:
    rung: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    begun = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 60.0)
        nap = {"nap": lambda seconds: time.sleep(seconds)}
        lua("host.nap(0.05)", functions=nap, limits=SHORT)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left < 60.0
        # The caller's comes first: it rings, and the script continues.
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert lua("host.nap(0.2) return 1", functions=nap) == 1
        assert len(rung) == 1
        assert rung[0] - begun < 60
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
