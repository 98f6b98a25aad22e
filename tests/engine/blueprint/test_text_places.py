"""Findings about expressions as text name the place of the text and the character."""

from typing import Any

import pytest
from blueprint_findings import refused

from engine.blueprint import compile_blueprint, lint_blueprint

AGENT = {"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}


def document(*children: Any, **more: Any) -> Any:
    flow = {"kind": "seq", "children": list(children)}
    init = {"topic": "bees", "n": 1}
    given = {"id": "d", "dialect": "swarm", "default_init_ctx": init, "flow": flow}
    return {**given, "agents": [AGENT], **more}


def let(value: Any, at: str = "$.x") -> Any:
    return {"kind": "let", "at": at, "value": value}


@pytest.mark.parametrize(
    ("value", "place", "offset"),
    [
        ("$.n + $.topc", "", 6),
        ({"k": [1, "$.topc"]}, ".k[1]", 0),
        ({"two words": "not $.topc"}, '["two words"]', 4),
        ({"template": "a {$.topc}"}, ".template", 3),
        ({"object": {"lit": "$.topc"}}, ".object.lit", 0),
        ({"op": "not", "arg": "length($.topc)"}, ".arg", 7),
        ({"op": "path", "at": "$.topc"}, ".at", None),
        ("map([1], y, y + $.topc)", "", 16),
        ('"{default($.topic, $.topc)}"', "", 19),
    ],
)
def test_a_lint_points_into_the_text(
    value: Any, place: str, offset: int | None
) -> None:
    found = lint_blueprint(document(let(value))).diagnostics
    [finding] = [one for one in found if one.kind == "path-never-written"]
    assert finding.place == f"$.flow.children[0].value{place}"
    assert finding.offset == offset
    span = finding.to_json()["span"]
    assert span["json_path"] == finding.place
    assert span.get("offset") == offset


def test_a_target_as_text_is_its_own_place() -> None:
    step = {"kind": "step", "agent": "a", "in": "$.n", "out": "$.x"}
    branch = {
        "kind": "branch",
        "cond": "length($.topic)",
        "then": step,
        "else": {**step, "agent": "b", "out": "1"},
    }
    places = [one.place for one in refused(document(branch))]
    assert places == [f"$.flow.children[0].else.{field}" for field in ("out", "agent")]
    branch["else"] = {**step, "agent": "b"}
    found = {
        one.kind: one.place for one in lint_blueprint(document(branch)).diagnostics
    }
    assert found["branch-cond-not-boolean"] == "$.flow.children[0].cond"
    assert found["unresolved-agent-ref"] == "$.flow.children[0].else.agent"


@pytest.mark.parametrize(
    ("value", "place", "offset", "said"),
    [
        ("$.n == ", "", 7, "column 8: expected an expression"),
        ({"k": "PASS"}, ".k", 0, "column 1: 'PASS' is no value"),
        (None, "", None, "got null"),
        ({"$.n": None}, "", None, "write {NAME: $.n}"),
        ({"a b": {"template": "{"}}, '["a b"].template', 1, "end of the text"),
    ],
)
def test_an_error_in_a_text_is_one_finding(
    value: Any, place: str, offset: int | None, said: str
) -> None:
    [finding] = refused(document(let(1), let(value)))
    assert finding.place == f"$.flow.children[1].value{place}"
    assert (finding.kind, finding.offset) == ("invalid-flow", offset)
    assert said in str(finding)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"$step_meta": {"ref": "'nope'"}, "topic": "$.n"}, ".$step_meta.ref"),
        ({"$step_meta": {"ref": {"lit": "nope"}}}, ".$step_meta.ref"),
        ({"lit": {"$step_meta": {"ref": "nope"}}}, ".lit.$step_meta.ref"),
        ("{$step_meta: {ref: 'nope'}, topic: $.n}", ""),
        (
            {"op": "lit", "value": {"$step_meta": {"ref": "nope"}}},
            ".value.$step_meta.ref",
        ),
    ],
)
def test_the_envelope_of_a_step_is_checked_however_it_is_written(
    given: Any, place: str
) -> None:
    step = {"kind": "step", "agent": "a", "in": given, "out": "$.x"}
    [finding] = refused(document(step))
    assert (finding.kind, finding.place) == (
        "unresolved-meta-ref",
        f"$.flow.children[0].in{place}",
    )


def test_a_path_of_too_many_keys_is_found_in_its_text() -> None:
    [finding] = refused(document(let("1 + $" + ".a" * 130)))
    assert finding.place == "$.flow.children[0].value"
    assert finding.offset == 4
    assert "a path has at most 127 keys, got 130" in finding.message


def test_what_is_too_deep_when_it_is_stored_is_refused() -> None:
    flow: Any = let("(" * 20 + "1" + " + $.n)" * 20)
    for _ in range(56):
        flow = {"kind": "seq", "children": [flow]}
    [finding] = refused({**document(), "flow": flow})
    assert "deeper than 127" in finding.message
    assert "fewer levels" in finding.help


def test_the_key_of_a_limit_is_stored_as_a_tree() -> None:
    limit = {"key": "$.topic", "max": 2}
    program = compile_blueprint(
        document(let(1), hints={"per_agent": {"a": {"limit": limit}}})
    )
    stored = program.agents["a"].limit
    assert stored == {"key": {"op": "path", "at": "$.topic"}, "max": 2}
    hints = {"per_agent": {"a": {"limit": {"key": "$.topic +", "max": 2}}}}
    [finding] = refused(document(let(1), hints=hints))
    assert finding.place == "$.hints.per_agent.a.limit.key"
    assert finding.offset == 9


def test_spellings_of_one_program_have_one_id() -> None:
    texts = [
        {"b": 1, "a": "$.n"}, "{a: $.n, b: 1}", "{ 'b':1,'a':ctx[\"n\"] }",
        {"object": {"a": {"op": "path", "at": "ctx.n"}, "b": {"lit": 1}}},
    ]  # fmt: skip
    ids = {compile_blueprint(document(let(one))).program_id for one in texts}
    assert len(ids) == 1
