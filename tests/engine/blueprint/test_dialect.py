"""The dialect of a Blueprint: off by default, with a hint how to enable it."""

from typing import Any

import pytest
from blueprint_findings import refused

from engine.blueprint import Diagnostic, compile_blueprint

LAST = {"op": "path", "at": "$.xs[-1]"}
ONE = {"op": "lit", "value": 1}
NOTHING = {"kind": "seq", "children": []}
FANOUT = {
    "kind": "fanout", "items": ONE, "bind": {"op": "path", "at": "$.i"},
    "body": NOTHING, "join": "all", "out": {"op": "path", "at": "$.o"},
}  # fmt: skip
LOOP = {
    "kind": "loop", "counter": {"op": "path", "at": "$.n"}, "cond": ONE, "max": 1,
    "body": NOTHING,
}  # fmt: skip
EACH = {"in": ONE, "as": "$.x"}
TRY = {"kind": "try", "body": NOTHING, "catch": NOTHING}
ERR_AT = {"err_at": {"op": "path", "at": "$.e"}}


def let(value: Any) -> Any:
    return {"kind": "let", "at": "$.a", "value": value}


FLOWS = {
    "$.flow.children[0].value.at": let(LAST),
    "$.flow.children[0].at": {**let(ONE), "at": "$.xs[0]"},
    "$.flow.children[0].value.op": let({"op": "default", "arg": ONE, "fallback": ONE}),
    "$.flow.children[0]": {**FANOUT, "select": ONE},
}
MORE = [
    {**FANOUT, "select": ONE, "max_parallel": 2},
    {**LOOP, "on_max": "fail"},
    {**TRY, **ERR_AT, "err_as": "object"},
    let({"op": "any", "cond": ONE, **EACH}),
    let({"op": "all", "cond": ONE, **EACH}),
    let({"op": "filter", "cond": ONE, **EACH}),
    let({"op": "map", "value": ONE, **EACH}),
]


def document(node: Any, **own: Any) -> Any:
    return {"id": "d", "flow": {"kind": "seq", "children": [node]}, **own}


def findings(blueprint: Any) -> list[Diagnostic]:
    return refused(blueprint, kinds=["python_fn"])


@pytest.mark.parametrize("node", [*FLOWS.values(), *MORE])
def test_without_the_dialect_its_words_are_refused_with_a_hint(node: Any) -> None:
    for own in ({}, {"dialect": "flow.ir"}):
        for finding in findings(document(node, **own)):
            assert finding.place.startswith("$.flow.children[0]")
            assert 'add "dialect": "swarm" to the Blueprint' in finding.help
    program = compile_blueprint(document(node, dialect="swarm"), kinds=[])
    assert program.flow_json == document(node)["flow"]
    assert program.flow.to_json() == program.flow_json


@pytest.mark.parametrize("place", FLOWS)
def test_the_finding_names_the_place(place: str) -> None:
    [finding] = findings(document(FLOWS[place]))
    assert finding.place == place


@pytest.mark.parametrize(
    ("dialect", "hint"),
    [("swrm", "did you mean 'swarm'?"), (None, ""), (1, ""), ("Swarm", "")],
)
def test_another_dialect_is_refused(dialect: Any, hint: str) -> None:
    [finding] = findings(document(NOTHING, dialect=dialect))
    assert finding.place == "$.dialect"
    assert "'flow.ir' or 'swarm'" in finding.message
    assert hint in finding.help


def test_an_explicit_default_changes_nothing() -> None:
    plain = compile_blueprint(document(NOTHING), kinds=[])
    named = compile_blueprint(document(NOTHING, dialect="flow.ir"), kinds=[])
    assert plain.program_id == named.program_id
