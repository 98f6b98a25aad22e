"""The interpreter: order of effects, rollback, joins, sharing, depth."""

import copy
import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flow_documents import at, let, lit, seq
from flow_errors import flow_error
from hypothesis import given
from hypothesis import strategies as st

from engine.flow import (
    Document,
    FlowError,
    evaluate,
    evaluate_expr,
    interpreter,
    parse_node,
)
from engine.flow.expr import Expr
from engine.flow.nodes import Node
from engine.flow.path import Path

Json = Any


def step(ref: str, given: Json, out: Json) -> Json:
    return {"kind": "step", "ref": ref, "in": given, "out": out}


def fanout(items: Json, body: Json, join: str = "all", bind: str = "$.i") -> Json:
    wires = {"items": items, "bind": at(bind), "out": at("$.o")}
    return {"kind": "fanout", "body": body, "join": join, **wires}


def attempt(body: Json, catch: Json, err_at: str | None = None) -> Json:
    place = None if err_at is None else at(err_at)
    return {"kind": "try", "body": body, "catch": catch, "err_at": place}


FAIL = let("$.x", at("$.missing"))


class Host:
    """Echoes, or raises for the ref `fail`; notes its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.reply: Json = {"a": {"b": 1}, "k.v": [1]}

    def __call__(self, ref: str, value: Json) -> Json:
        self.calls.append((ref, copy.deepcopy(value)))
        if ref == "fail":
            raise ValueError(f"bad {value}")
        return self.reply if ref == "same" else value


def run(program: Json, ctx: Json, host: Host | None = None) -> Json:
    return evaluate(parse_node(program), ctx, host or Host())


def error_of(program: Json, ctx: Json, host: Host | None = None) -> FlowError:
    return flow_error(run, program, ctx, host)


def test_a_step_writes_what_the_dispatcher_answers() -> None:
    assert run(step("echo", at("$.a"), at("$.b")), {"a": [1]}) == {
        "a": [1],
        "b": [1],
    }


def test_a_dispatchers_failure_is_wrapped_once() -> None:
    error = error_of(step("fail", lit(1), at("$.b")), {})
    assert error.kind == "DispatcherError"
    assert str(error) == "dispatcher error for ref 'fail': bad 1"


def test_a_bad_target_fails_after_the_side_effect() -> None:
    host = Host()
    error = error_of(step("echo", lit(1), lit("$.a")), {}, host)
    assert error.kind == "InvalidPath"
    assert host.calls == [("echo", 1)]


def test_a_step_without_input_makes_no_call() -> None:
    host = Host()
    assert error_of(step("echo", at("$.a"), at("$.b")), {}, host).kind == (
        "PathNotFound"
    )
    assert host.calls == []


def test_a_branch_needs_a_boolean() -> None:
    program = {"kind": "branch", "cond": lit({"b": 1, "a": "é"}), "then": seq()}
    error = error_of({**program, "else": seq()}, {})
    assert error.kind == "NonBoolCond"
    assert str(error) == 'branch cond must be boolean, got: {"a":"é","b":1}'


def test_a_loop_counts_outside_the_document() -> None:
    loop = {"kind": "loop", "counter": at("$.n"), "max": 3}
    body = let("$.n", lit("mine"))
    assert run({**loop, "cond": lit(True), "body": body}, {}) == {"n": 3}
    assert run({**loop, "cond": at("$.gone"), "body": body, "max": 0}, {}) == {"n": 0}
    assert run({**loop, "cond": lit(None), "body": body}, {}) == {"n": 0}


def test_a_failed_try_leaves_nothing_but_its_error() -> None:
    program = attempt(seq(let("$.m.k", lit(1)), FAIL), let("$.seen", at("$.e")), "$.e")
    text = "path not found: $.missing"
    assert run(program, {"m": {}}) == {"m": {}, "e": text, "seen": text}


def test_a_rollback_undoes_writes_to_what_was_written_before() -> None:
    program = attempt(seq(let("$.m.k", lit(1)), FAIL), seq())
    assert run(seq(let("$.m.k", lit(0)), program), {}) == {"m": {"k": 0}}


def test_lanes_keep_what_their_caller_changes_later() -> None:
    first, last = let("$.m.k", lit(0)), let("$.m.k", lit(1))
    result = run(seq(first, fanout(lit([7]), seq()), last), {})
    assert result == {"m": {"k": 1}, "o": [{"m": {"k": 0}, "i": 7}]}


def test_an_error_of_the_catch_goes_up() -> None:
    assert error_of(attempt(FAIL, FAIL), {}).kind == "PathNotFound"
    assert run(attempt(attempt(FAIL, FAIL), seq()), {"a": 1}) == {"a": 1}


def test_lanes_see_neither_each_other_nor_change_their_caller() -> None:
    body = seq(let("$.o.k", at("$.i")), let("$.o.n.z", at("$.i")))
    ctx = {"o": {"k": 0, "n": {}}}
    lanes = run(fanout(lit([1, 2]), body), ctx)["o"]
    assert lanes == [{"o": {"k": n, "n": {"z": n}}, "i": n} for n in (1, 2)]
    assert ctx == {"o": {"k": 0, "n": {}}}


def test_each_join_makes_its_own_value() -> None:
    less = {"op": "lt", "lhs": at("$.i"), "rhs": lit(2)}
    body = {"kind": "branch", "cond": less, "then": seq()}
    body = {**body, "else": step("fail", at("$.i"), at("$.r"))}
    text = "dispatcher error for ref 'fail': bad 3"
    assert run(fanout(lit([3, 1]), body, "any"), {})["o"] == {"i": 1}
    assert run(fanout(lit([1, 3]), body, "race"), {})["o"] == {"i": 1}
    assert run(fanout(lit([3, 1]), body, "all_settled"), {})["o"] == [
        {"status": "rejected", "reason": text},
        {"status": "fulfilled", "value": {"i": 1}},
    ]
    for items, join in (([1, 3], "all"), ([3, 1], "race"), ([2, 3], "any")):
        assert str(error_of(fanout(lit(items), body, join), {})) == text


def test_a_failing_bind_fails_the_whole_fanout() -> None:
    program = fanout(lit([1]), seq(), "all_settled", bind="$.s.x")
    assert error_of(program, {"s": "text"}).kind == "TypeError"
    assert run({**program, "items": lit([])}, {"s": "text"})["o"] == []


def test_a_list_of_a_subclass_is_an_array() -> None:
    class Joined(list[Json]):
        pass

    ctx = {"items": Joined([1, 2])}
    lanes = run(fanout(at("$.items"), let("$.items", lit(0))), ctx)["o"]
    assert lanes == [{"items": 0, "i": 1}, {"items": 0, "i": 2}]


def deep_programs() -> list[Callable[[Json], Json]]:
    loop = {"kind": "loop", "counter": at("$.c"), "cond": lit(True), "max": 1}
    branch = {"kind": "branch", "cond": lit(True), "else": seq()}
    return [
        lambda body: attempt(body, seq()),
        lambda body: attempt(FAIL, body),
        lambda body: {**branch, "then": body},
        lambda body: {**loop, "body": body},
        lambda body: fanout(lit([1]), body),
        lambda body: fanout(lit([1]), body, "any"),
        seq,
    ]


def at_frame(depth: int, call: Callable[[], Json]) -> Json:
    if len(inspect.stack(0)) >= depth:
        return call()
    return at_frame(depth, call)


def depth_of(value: Json) -> int:
    parts = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth_of, parts), default=0)


@pytest.mark.parametrize("wrap", deep_programs())
def test_the_deepest_programs_run(wrap: Callable[[Json], Json]) -> None:
    program = let("$.done", lit(True))
    while depth_of(wrap(program)) <= 127:
        program = wrap(program)
    assert depth_of(program) >= 126

    def whole() -> Json:
        node = parse_node(program)
        assert node.to_json()["kind"] == program["kind"]
        return evaluate(node, {}, Host())

    assert sys.getrecursionlimit() <= 1000
    assert at_frame(130, whole)


@pytest.mark.parametrize(
    "field",
    ["arg", "args", "lhs", "rhs", "needle", "in", "value", "cond", "arg of default"],
)
def test_the_deepest_expressions_run(field: str) -> None:
    wraps: dict[str, Callable[[Json], Json]] = {
        "arg": lambda inner: {"op": "not", "arg": inner},
        "args": lambda inner: {"op": "and", "args": [inner]},
        "lhs": lambda inner: {"op": "eq", "lhs": inner, "rhs": lit(1)},
        "rhs": lambda inner: {"op": "eq", "lhs": lit(1), "rhs": inner},
        "needle": lambda inner: {"op": "in", "needle": inner, "haystack": lit([])},
        "in": lambda inner: {"op": "map", "in": inner, "as": "$.x", "value": lit(1)},
        "value": lambda inner: {
            "op": "map",
            "in": lit([1]),
            "as": "$.x",
            "value": inner,
        },
        "cond": lambda inner: {"op": "any", "in": lit([1]), "as": "$.x", "cond": inner},
        "arg of default": lambda inner: {
            "op": "default",
            "arg": inner,
            "fallback": lit(1),
        },
    }
    inner = lit([True])
    while depth_of(wraps[field](inner)) <= 124:
        inner = wraps[field](inner)
    program = seq(let("$.r", inner))
    assert depth_of(program) >= 126
    node = parse_node(program, "swarm")
    assert node.to_json() == program
    result = at_frame(130, lambda: evaluate(node, {}, Host()))
    assert isinstance(result["r"], bool | list)


def test_a_document_may_grow_deeper_than_any_program() -> None:
    loop = {"kind": "loop", "counter": at("$.n"), "cond": lit(True), "max": 5000}
    nest = {**loop, "body": let("$.a", at("$"))}
    wrong = let(
        "$.x", {"op": "len", "arg": {"op": "add", "lhs": at("$"), "rhs": lit(1)}}
    )
    result = run(seq(nest, attempt(wrong, seq(), "$.e")), {})
    assert result["n"] == 5000
    assert result["e"].startswith("type error in 'add': expected number, got ")


class NaiveDocument(Document):
    """A document that owns nothing: every write copies, every value is its own."""

    def evaluate(self, expr: Expr, externs: Any = None) -> Json:
        return copy.deepcopy(evaluate_expr(expr, self.value, externs))

    def write(self, at: Path, value: Json) -> None:
        self.restore(at.write(copy.deepcopy(self.value), copy.deepcopy(value)))


def outcome(node: Node, ctx: Json, externs: Any) -> tuple[str, list[Json]]:
    host = Host()
    try:
        return repr(evaluate(node, ctx, host, externs)), host.calls
    except FlowError as error:
        return f"{error.kind}: {error}", host.calls


@pytest.mark.slow
@given(data=st.data())
def test_sharing_is_not_to_be_seen(
    data: st.DataObject, json_values: Json, programs: Any
) -> None:
    ctx, program = data.draw(json_values), data.draw(programs.nodes)
    node = parse_node(program, programs.dialect)
    externs = {"list": lambda values: values}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "Document", NaiveDocument)
        naive = outcome(node, copy.deepcopy(ctx), externs)
    assert outcome(node, ctx, externs) == naive


@pytest.mark.slow
@given(data=st.data())
def test_inputs_are_never_changed(
    data: st.DataObject, json_values: Json, programs: Any
) -> None:
    ctx, program = data.draw(json_values), data.draw(programs.nodes)
    node, host, kept = parse_node(program, programs.dialect), Host(), []

    def keep(values: list[Json]) -> Json:
        kept.append((values, copy.deepcopy(values)))
        return values[0] if values else None

    externs = {"list": lambda values: values, "keep": keep}
    before = repr((ctx, program, host.reply))
    try:
        first = evaluate(node, ctx, host, externs)
    except FlowError:
        first = None
    assert repr((ctx, program, host.reply)) == before
    assert all(repr(seen) == repr(copied) for seen, copied in kept)
    shown = repr(first)
    again = Host()
    try:
        second = evaluate(node, ctx, again, externs)
    except FlowError:
        second = None
    assert repr(first) == shown == repr(second)
    assert again.calls == host.calls
