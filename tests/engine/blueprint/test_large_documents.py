"""Large documents: what they may be, and what looking at them costs."""

import tracemalloc
from typing import Any

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint, lint_blueprint
from engine.flow.json_text import MAX_DEPTH

FN = {"name": "f", "kind": "python_fn", "spec": {"fn_id": "identity"}}


def path(at: str) -> Any:
    return {"op": "path", "at": at}


def keys(count: int, name: str = "k") -> str:
    return "$" + f".{name}" * count


def gate(at: str) -> Any:
    cond = {"op": "eq", "lhs": path(at), "rhs": {"op": "lit", "value": 1}}
    nothing = {"kind": "seq", "children": []}
    return {"kind": "branch", "cond": cond, "then": nothing, "else": nothing}


def document(*children: Any, **more: Any) -> Any:
    flow = {"kind": "seq", "children": list(children)}
    return {"id": "large", "flow": flow, "agents": [FN], **more}


def faults(value: Any) -> list[tuple[str, str]]:
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(value)
    return [(one.kind, one.place) for one in caught.value.diagnostics]


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
    limit = {"limit": {"key": path(keys(2_000)), "max": 1}}
    value = document(gate("$.a"), hints={"per_agent": {"f": limit}})
    assert faults(value) == [("invalid-flow", "$.hints.per_agent.f.limit.key.at")]


def test_long_paths_cost_no_more_memory_than_their_text() -> None:
    gates = [gate(keys(MAX_DEPTH, f"k{number}")) for number in range(600)]
    writes = [
        {"kind": "let", "at": keys(MAX_DEPTH, f"k{n}"), "value": path("$.a")}
        for n in range(600)
    ]
    value = document(*writes, *gates)
    tracemalloc.start()
    lint_blueprint(value)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # It is 14 MB; all prefixes of the written paths would add 60.
    assert peak < 30_000_000
