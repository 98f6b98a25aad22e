"""Limits and the JSON contract: mistakes of a naive runtime are prevented or refused here.

For the escapes, test_escapes.py does the same.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import lupa.lua54
import pytest

from engine.ports import LuaFault, LuaLimits

MIB = 1024 * 1024
Lua = Callable[..., Any]
Fault = Callable[..., LuaFault]

LOOPS = {
    "loop": "while true do end",
    "pcall loop": "while true do pcall(error) end",
    "coroutine loop": (
        "while true do coroutine.wrap(function() coroutine.yield() end)() end"
    ),
    "pattern": "return (('a'):rep(3e4)):find('.-.-.-.-b$')",
}
# Each takes more than 32 MiB, and less than would hurt the machine of a test.
BOMBS = {
    "string": "return #('x'):rep(1e8)",
    "table": "local t = {} for n = 1, 6e6 do t[n] = n end return #t",
    "recursion": "local function f() return 1 + f() end return f()",
}

# Runs a script as a first attempt would; prints how much memory that added.
NAIVE = """
import contextlib, re, sys
import lupa.lua54
def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024
runtime = lupa.lua54.LuaRuntime()
before = peak()
print("started", flush=True)
with contextlib.suppress(lupa.lua54.LuaError):
    runtime.execute(sys.argv[1])
print(peak() - before)
"""


@contextlib.contextmanager
def naive_process(source: str) -> Iterator[subprocess.Popen[str]]:
    """A naive runtime at work on a script, in a process that can be killed."""
    made = subprocess.Popen(
        [sys.executable, "-c", NAIVE, source], stdout=subprocess.PIPE, text=True
    )
    try:
        assert made.stdout is not None
        assert made.stdout.readline() == "started\n"
        yield made
    finally:
        made.kill()
        made.communicate()


def test_loops_block_a_naive_runtime_for_ever_and_end_here(fault: Fault) -> None:
    with contextlib.ExitStack() as stack:
        naive = {
            name: stack.enter_context(naive_process(source))
            for name, source in LOOPS.items()
        }
        limits = LuaLimits(seconds=0.2, memory=32 * MIB, output=MIB)
        for source in LOOPS.values():
            begun = time.monotonic()
            assert fault(source, limits=limits).kind == "time"
            assert time.monotonic() - begun < 0.2 + 1
        time.sleep(0.2)
        ended = [name for name, process in naive.items() if process.poll() is not None]
    assert ended == []


@pytest.mark.parametrize("source", BOMBS.values(), ids=list(BOMBS))
def test_a_naive_runtime_takes_memory_that_is_refused_here(
    source: str, fault: Fault
) -> None:
    with naive_process(source) as process:
        out, _ = process.communicate(timeout=60)
    assert int(out) > 32 * MIB
    limits = LuaLimits(seconds=20.0, memory=32 * MIB, output=MIB)
    assert fault(source, limits=limits).kind == "memory"


def naive(source: str, value: Any = None) -> Any:
    """Hand a value to a script and return what it returns, as lupa does by itself."""
    runtime = lupa.lua54.LuaRuntime()
    if isinstance(value, list | dict):
        value = runtime.table_from(value, recursive=True)
    found = runtime.eval(f"function(_CTX) {source} end")(value)
    return dict(found.items()) if lupa.lua54.lua_type(found) == "table" else found


def test_a_boolean_key_takes_the_place_of_a_number(fault: Fault) -> None:
    source = "return {[1] = 'a', [true] = 'b'}"
    assert naive(source) == {1: "b"}
    found = fault(source)
    assert (found.kind, found.place) == ("result", "$")
    assert "an array has the key boolean beside its numbers" in found.text


def test_null_leaves_a_hole(lua: Lua) -> None:
    values = ([1, None, 3], {"a": None}, [None])
    assert [naive("return _CTX", value) for value in values] == [{1: 1, 3: 3}, {}, {}]
    assert [lua("return _CTX", value) for value in values] == list(values)


def test_an_empty_array_and_an_empty_object_are_one(lua: Lua) -> None:
    assert naive("return _CTX", []) == naive("return _CTX", {}) == {}
    assert [lua("return _CTX", value) for value in ([], {}, [[], {}])] == [
        [], {}, [[], {}],
    ]  # fmt: skip


def test_an_integer_wraps(fault: Fault, lua: Lua) -> None:
    source = "return _CTX + 1"
    assert naive(source, 2**63 - 1) == -(2**63)
    assert lua(source, 2**53 - 1) == 2**53
    assert fault(source, 2**63 - 1).place == "_CTX"
    # Nor does what wrapped inside get out.
    found = fault("return {n = math.maxinteger + 1}")
    assert (found.kind, found.place) == ("result", "$.n")


@pytest.mark.parametrize("n", [2**63, 2**70, -(2**63) - 1])
def test_a_larger_integer_overflows(n: int, fault: Fault, lua: Lua) -> None:
    with pytest.raises(OverflowError):
        naive("return _CTX", {"n": n})
    found = fault("return _CTX", {"n": n})
    assert (found.kind, found.permanent) == ("input", True)
    if -(2**63) <= n < 2**64:
        assert found.place == "_CTX.n"
        assert lua("return _CTX.n", {"n": n}, big_integers_as_text=True) == str(n)


def test_bytes_that_are_no_text_raise_without_a_place(fault: Fault) -> None:
    with pytest.raises(UnicodeDecodeError):
        naive(r"return {a = '\xff'}")
    found = fault(r"return {a = '\xff'}")
    assert (found.kind, found.place) == ("result", "$.a")
