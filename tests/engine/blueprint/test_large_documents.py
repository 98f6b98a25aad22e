"""Large documents: their bounds, and the cost of checking them."""

import time
import tracemalloc
from typing import Any

import pytest
from blueprint_findings import refused
from flow_documents import at, lit, step

from engine.blueprint import BlueprintInvalid, compile_blueprint, lint_blueprint
from engine.blueprint.findings.diagnostics import MOST
from engine.flow.json_text import MAX_DEPTH

FN = {"name": "f", "kind": "python_fn", "spec": {"fn_id": "identity"}}


def keys(count: int, name: str = "k") -> str:
    return "$" + f".{name}" * count


def gate(place: str) -> Any:
    cond = {"op": "eq", "lhs": at(place), "rhs": {"op": "lit", "value": 1}}
    nothing = {"kind": "seq", "children": []}
    return {"kind": "branch", "cond": cond, "then": nothing, "else": nothing}


def document(*children: Any, **more: Any) -> Any:
    flow = {"kind": "seq", "children": list(children)}
    return {"id": "large", "flow": flow, "agents": [FN], **more}


def faults(value: Any) -> list[tuple[str, str]]:
    return [(one.kind, one.place) for one in refused(value)]


def test_a_path_with_more_keys_than_a_ctx_is_deep_is_refused() -> None:
    place = "$.flow.children[0].cond.lhs.at"
    for count in (MAX_DEPTH + 1, 100_000):
        assert faults(document(gate(keys(count)))) == [("invalid-flow", place)]
    let = {"kind": "let", "at": keys(2_000), "value": {"op": "lit", "value": 1}}
    assert faults(document(let)) == [("invalid-flow", "$.flow.children[0].at")]
    quoted = "$" + '["k"]' * (MAX_DEPTH + 1)
    assert faults(document(gate(quoted))) == [("invalid-flow", place)]
    assert compile_blueprint(document(gate(keys(MAX_DEPTH)))).program_id


def test_the_key_of_a_limit_has_no_longer_path_either() -> None:
    limit = {"limit": {"key": at(keys(2_000)), "max": 1}}
    value = document(gate("$.a"), hints={"per_agent": {"f": limit}})
    assert faults(value) == [("invalid-flow", "$.hints.per_agent.f.limit.key.at")]


@pytest.mark.slow
def test_long_paths_cost_no_more_memory_than_their_text() -> None:
    gates = [gate(keys(MAX_DEPTH, f"k{number}")) for number in range(250)]
    writes = [
        {"kind": "let", "at": keys(MAX_DEPTH, f"k{n}"), "value": at("$.a")}
        for n in range(250)
    ]
    value = document(*writes, *gates)
    tracemalloc.start()
    lint_blueprint(value)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # It is 23 MB, 16 of them the shapes of 32,000 objects; all prefixes of the written
    # paths would add 25.
    assert peak < 30_000_000


def sound(steps: int) -> Any:
    """Returns a document of that many steps and a quarter of it of everything else.

    The launch gives what the steps read.
    """
    rows = range(steps // 4)
    chain = [
        step(f"a{number % len(rows)}", at(f"$.given{number}"), f"$.out{number}")
        for number in range(steps)
    ]
    both = [
        {"op": "ne", "lhs": at(f"$.out{number}"), "rhs": lit("STOP")} for number in rows
    ]
    rounds = {
        "kind": "loop",
        "counter": at("$.n"),
        "cond": {"op": "or", "args": both},
        "body": {
            "kind": "seq",
            "children": [step(f"a{n}", at("$.n"), f"$.in{n}") for n in rows],
        },
        "max": 3,
    }
    lanes = [
        {
            "kind": "fanout",
            "items": lit([1]),
            "bind": at("$.item"),
            "body": step(f"a{number}", at("$.item"), "$.lane"),
            "join": "all",
            "out": at(f"$.all{number}"),
        }
        for number in rows
    ]
    agents = [
        {
            "name": f"a{number}",
            "kind": "operator",
            "spec": {"operator_ref": f"o{number}"},
            "runner_ref": f"r{number}",
            "meta": {"meta_ref": f"m{number}"},
        }
        for number in rows
    ]
    values = ["STOP", *(f"V{number}" for number in range(steps))]
    agents[-1]["verdict"] = {"channel": "body", "values": values}
    runner = {"backend": "ws_operator", "variant": "v", "tools": ["mcp__s__t"]}
    return document(
        *chain,
        *lanes,
        rounds,
        agents=agents,
        operators=[{"name": f"o{number}"} for number in rows],
        metas=[{"name": f"m{number}", "ctx": {"a": 1}} for number in rows],
        runners=[{"name": f"r{number}", "runner": runner} for number in rows],
    )


def seconds(value: Any) -> float:
    started = time.thread_time()
    assert lint_blueprint(value).verdict != "BLOCK"
    assert compile_blueprint(value).program_id
    return time.thread_time() - started


@pytest.mark.slow
def test_what_a_sound_document_costs_grows_with_its_size_only() -> None:
    small, large = sound(1_000), sound(2_000)
    seconds(sound(100))
    cost = seconds(small)
    # Four times as much where every step looks at every other.
    assert seconds(large) < max(3 * cost, 2.0)


def test_of_very_many_faults_of_shape_the_first_are_reported() -> None:
    extra = {f"x{number}": 1 for number in range(5_000)}
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(document(**extra))
    found = caught.value.diagnostics
    assert len(found) == MOST + 1
    assert found[-1].message == f"and {5_000 - MOST} more faults, from here on"


def test_of_very_many_unknown_runners_the_first_are_reported() -> None:
    runner = {"backend": "ws_operator", "variant": "v"}
    value = document(
        agents=[{**FN, "name": f"a{n}", "runner_ref": f"q{n}"} for n in range(300)],
        runners=[{"name": f"r{n}", "runner": runner} for n in range(300)],
    )
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(value)
    found = caught.value.diagnostics
    assert len(found) == MOST + 1
    assert all(one.help for one in found)


def test_more_answers_than_the_limit_are_no_finding() -> None:
    asks = {"op": "eq", "lhs": at("$.v"), "rhs": lit("TYPO")}
    nothing = {"kind": "seq", "children": []}
    contract = {"channel": "body", "values": ["PASS"]}
    arms: Any = nothing
    chosen = []
    for number in range(400):
        arms = {"kind": "branch", "cond": {"op": "exists", "arg": at("$.b")}}
        arms |= {"then": step(f"a{number}", at("$.b"), "$.v"), "else": nothing}
        chosen.append(arms)
    gated = {"kind": "branch", "cond": asks, "then": chosen[0], "else": nothing}
    begun = step("a0", at("$.b"), "$.v")
    value = document(
        begun,
        *chosen,
        gated,
        agents=[{**FN, "name": f"a{n}", "verdict": contract} for n in range(400)],
    )
    assert compile_blueprint(value).program_id
    few = document(begun, *chosen[:100], gated, agents=value["agents"])
    assert ("verdict-value-not-in-contract", "$.flow.children[101].cond.rhs.value") in (
        faults(few)
    )
