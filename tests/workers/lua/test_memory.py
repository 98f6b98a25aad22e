"""Values that enter a script count as its memory, and never break it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.ports import LuaFault, LuaLimits

MIB = 1024 * 1024
SECONDS = 5.0
SMALL = LuaLimits(seconds=SECONDS, memory=MIB, output=MIB)
USUAL = LuaLimits(seconds=SECONDS, memory=32 * MIB, output=MIB)
# Leaves no room for another text of a thousand bytes.
FILL = (
    "local t = {} for _, size in ipairs{20000, 1000} do"
    " while pcall(function() t[#t + 1] = ('x'):rep(size) end) do end end "
)


def answers(size: int) -> dict[str, Callable[[Any], str]]:
    return {"big": lambda _: "x" * size}


@pytest.mark.parametrize(
    ("source", "limits", "more"),
    [
        # As large as an answer may be, and the settings' own memory limit.
        ("return #host.big(1)", USUAL, {"functions": answers(32 * MIB - 100)}),
        ("return #host.big(1)", SMALL, {"functions": answers(MIB)}),
        (FILL + "return #host.big(1)", SMALL, {"functions": answers(3000)}),
        (FILL + "return #host.big(1)", USUAL, {"functions": answers(3000)}),
        (
            "return require('m')",
            SMALL,
            {"find_module": lambda _: "return 1 --" + "x" * MIB},
        ),
        (
            # No tail call: it would make garbage of the table.
            FILL + "local m = require('m') return m",
            SMALL,
            {"find_module": lambda _: "return 1 --" + "x" * 3000},
        ),
    ],
    ids=["answer", "small", "nearly full", "nearly full too", "module", "full module"],
)
def test_an_answer_larger_than_the_memory_that_is_left_is_a_memory_fault(
    source: str,
    limits: LuaLimits,
    more: dict[str, Any],
    lua: Callable[..., Any],
    fault: Callable[..., LuaFault],
) -> None:
    begun = time.monotonic()
    found = fault(source, limits=limits, **more)
    assert (found.kind, found.permanent) == ("memory", True)
    assert found.text == f"used more than {limits.memory} bytes of memory"
    assert time.monotonic() - begun < SECONDS
    assert lua("return 2") == 2


def test_too_large_an_answer_can_be_caught(lua: Callable[..., Any]) -> None:
    source = "return {pcall(host.big, 1)}"
    got = lua(source, limits=SMALL, functions=answers(MIB))
    assert got == [False, "not enough memory"]


def test_garbage_does_not_count_against_an_answer(lua: Callable[..., Any]) -> None:
    source = "local n = 0 for _ = 1, 50 do n = n + #host.big(1) end return n"
    limits = LuaLimits(20.0, 2 * MIB, MIB)
    assert lua(source, limits=limits, functions=answers(400_000)) == 50 * 400_000


def test_an_answer_has_a_largest_size(
    lua: Callable[..., Any], fault: Callable[..., LuaFault], settings: Any
) -> None:
    settings.SWARM_INPUT_LIMIT = 1002
    assert lua("return #host.big(1)", functions=answers(1000)) == 1000
    found = fault("return #host.big(1)", functions=answers(1001))
    assert (found.kind, found.place) == ("host", "AnswerTooLarge")
    assert found.permanent
    assert found.text == (
        "host.big: AnswerTooLarge: its answer of 1003 bytes is larger than"
        " SWARM_INPUT_LIMIT (1002 bytes): give a path, an id or a part of it"
    )


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ("x" * 2_000_000, SMALL),
        (["x" * 2_000_000], SMALL),
        # As large as an input may be, and the settings' own memory limit.
        ("x" * (32 * MIB - 100), USUAL),
    ],
    ids=["text", "value", "defaults"],
)
def test_an_input_larger_than_the_memory_is_reported(
    given: Any,
    limits: LuaLimits,
    lua: Callable[..., Any],
    fault: Callable[..., LuaFault],
) -> None:
    found = fault("return 1", given, limits)
    assert (found.kind, found.permanent) == ("memory", True)
    assert found.text.startswith("its source and input, ")
    assert found.text.endswith(f" do not fit in {limits.memory} bytes of memory")
    assert lua("return 2") == 2


@pytest.mark.parametrize("size", range(MIB - 120_000, MIB + 4000, 4000))
def test_at_no_size_an_input_breaks_the_sandbox(
    size: int, fault: Callable[..., LuaFault]
) -> None:
    # Some fit as a text, and not beside the value that is made of it.
    assert fault("return #_CTX", ["x" * size], SMALL).kind == "memory"


@pytest.mark.parametrize("size", range(0, 8000, 500))
def test_at_no_size_an_answer_breaks_the_sandbox(
    size: int, fault: Callable[..., LuaFault]
) -> None:
    source = FILL + "t[1] = nil while true do host.big(1) t[#t + 1] = ('x'):rep(30) end"
    found = fault(source, limits=SMALL, functions=answers(size))
    assert found.kind == "memory"
