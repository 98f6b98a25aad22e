"""Tests of engine/blueprint/analysis/verdict_tests.py: whose answers reach a condition."""

from typing import Any

from flow_documents import at, let, lit, seq

from engine.blueprint.analysis import verdict_tests
from engine.blueprint.analysis.flow_walk import START, Spot


def step(ref: str, out: str) -> Any:
    return {"kind": "step", "ref": ref, "in": at("$"), "out": at(out)}


def equals(place: str, value: Any) -> Any:
    return {"op": "eq", "lhs": at(place), "rhs": lit(value)}


def asks(at: str = "$.v") -> Any:
    cond = equals(at, "X")
    return {"kind": "branch", "cond": cond, "then": seq(), "else": seq()}


def either(then: Any, other: Any) -> Any:
    return {"kind": "branch", "cond": at("$.ok"), "then": then, "else": other}


def fanout(body: Any, **more: Any) -> Any:
    base = {"kind": "fanout", "items": lit([1]), "bind": at("$.i"), "body": body}
    return {**base, "join": "all", "out": at("$.all"), **more}


def one_test(*children: Any, init: Any = None) -> verdict_tests.VerdictTest:
    (found,) = verdict_tests.find_tests(Spot(START, seq(*children)), init)
    return found


def test_the_last_write_counts() -> None:
    found = one_test(step("a", "$.v"), step("b", "$.v"), asks())
    assert (found.producers, found.channel, found.open) == ({"b"}, "body", False)


def test_a_write_above_counts_as_well() -> None:
    assert (
        verdict_tests.find_tests(
            Spot(START, seq(step("a", "$.v"), step("b", "$"), asks()))
        )
        == []
    )
    assert one_test(step("a", "$"), step("b", "$.v"), asks()).producers == {"b"}


def test_arms_meet_and_keep_nothing_for_each_other() -> None:
    inner = seq(step("a", "$.v"), either(step("b", "$.v"), seq()))
    found = one_test(step("z", "$.v"), either(inner, seq()), asks())
    assert found.producers == {"a", "b", "z"}
    other = seq(asks(), step("c", "$.v"))
    found = one_test(step("z", "$.v"), either(step("a", "$.v"), other))
    assert found.producers == {"z"}


def test_what_a_loop_carries_back_reaches_its_start() -> None:
    count = {"op": "lt", "lhs": at("$.n"), "rhs": lit(3)}
    body = seq(asks(), either(step("b", "$.v"), let("$.v", lit("C"))))
    loop = {"kind": "loop", "counter": at("$.n"), "cond": count, "body": body}
    found = one_test(step("a", "$.v"), {**loop, "max": 3})
    assert (found.producers, found.given) == ({"a", "b"}, {"C"})


def test_a_catch_starts_from_before_its_body() -> None:
    tried = {"kind": "try", "body": step("a", "$.v"), "catch": asks()}
    assert one_test(step("z", "$.v"), tried).producers == {"z"}


def test_texts_of_the_document_are_distinguished_from_unknown_ones() -> None:
    given = one_test(either(step("a", "$.v"), let("$.v", lit("NONE"))), asks())
    assert (given.given, given.open) == ({"NONE"}, False)
    unknown = one_test(either(step("a", "$.v"), let("$.v", at("$.w"))), asks())
    assert (unknown.given, unknown.open) == (set(), True)
    absent = one_test(either(step("a", "$.v"), let("$.v", lit({"a": 1}))), asks("$.v"))
    assert absent.given == {'{"a":1}'}


def test_what_a_run_begins_with_counts_where_nothing_wrote_over_it() -> None:
    maybe = either(step("a", "$.v"), seq())
    assert one_test(maybe, asks()).open
    for value, text in ((None, "null"), ("NEW", "NEW")):
        begun = one_test(maybe, asks(), init={"v": value})
        # A launch may override it.
        assert (begun.given, begun.open) == ({text}, True)
    assert not one_test(step("a", "$.v"), asks()).open


def test_a_test_for_null_or_absence_knows_what_a_run_begins_with() -> None:
    maybe = either(step("a", "$.v"), seq())
    present = {"op": "exists", "arg": at("$.v")}
    for guard in (equals("$.v", None), {"op": "not", "arg": present}):
        gate = {**asks(), "cond": {"op": "or", "args": [guard, equals("$.v", "X")]}}
        for init, unknown in (({}, False), ({"v": None}, False), ({"v": "NEW"}, True)):
            tests = verdict_tests.find_tests(Spot(START, seq(maybe, gate)), init)
            assert {one.open for one in tests} == {unknown}, (guard, init)
    elements = [equals("$.v[0]", None), equals("$.v[1]", "X")]
    gate = {**asks(), "cond": {"op": "or", "args": elements}}
    tests = verdict_tests.find_tests(
        Spot(START, seq(either(step("a", "$.v[0]"), seq()), gate))
    )
    assert {one.open for one in tests} == {True}


def test_a_write_to_an_element_leaves_the_others() -> None:
    fresh = let("$.xs", lit(["", ""]))
    writes = seq(fresh, step("a", "$.xs[0]"), step("b", "$.xs[1]"))
    each = {"op": "any", "in": at("$.xs"), "as": "$.e", "cond": equals("$.e", "X")}
    for gate in (asks("$.xs[0]"), asks("$.xs[-1]"), {**asks(), "cond": each}):
        found = one_test(writes, gate)
        assert (found.producers, found.given) == ({"a", "b"}, {""})
        assert not found.open
    found = one_test(writes, step("c", "$.xs[0].v"), asks("$.xs[1]"))
    assert found.producers == {"a", "b"}
    found = one_test(writes, fresh, step("c", "$.xs[0]"), asks("$.xs[1]"))
    assert found.producers == {"c"}
    lanes = fanout(step("c", "$.v"), join="any", select=at("$.v"), out=at("$.xs[0]"))
    assert one_test(writes, lanes, asks("$.xs[1]")).producers == {"a", "b", "c"}


def test_lanes_keep_their_writes_and_hand_out_what_is_selected() -> None:
    lane = fanout(step("a", "$.v"))
    assert one_test(step("z", "$.v"), lane, asks()).producers == {"z"}
    each = {"op": "any", "in": at("$.all"), "as": "$.e", "cond": asks("$.e")["cond"]}
    gate = {**asks(), "cond": each}
    assert one_test(fanout(step("a", "$.v"), select=at("$.v")), gate).producers == {"a"}
    fields = {**each, "cond": asks("$.e.v")["cond"]}
    assert one_test(lane, {**asks(), "cond": fields}).producers == {"a"}
    first = fanout(step("a", "$.v"), join="any", select=at("$.v"))
    assert one_test(first, asks("$.all")).producers == {"a"}
    picked = fanout(step("a", "$.v"), select=at("$.v"))
    assert one_test(picked, asks("$.all[0]")).producers == {"a"}


def test_selects_that_lead_to_each_other_come_to_an_end() -> None:
    def lane(key: str) -> Any:
        select = at(f"$.all.{key}")
        return fanout(step("a", "$.v"), join="any", select=select)

    gates = [asks(f"$.all.k{number}") for number in range(50)]
    lanes = [lane(f"s{number}") for number in range(50)]
    assert verdict_tests.find_tests(Spot(START, seq(*lanes, *gates))) == []
