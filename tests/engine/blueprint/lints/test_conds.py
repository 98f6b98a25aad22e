"""Tests of the lints of conds: what a branch and a loop can take."""

from typing import Any

import pytest

from engine.blueprint import LintOptions, lint_blueprint
from engine.blueprint.analysis.signatures import Signature

BRANCH, LOOP = "branch-cond-not-boolean", "loop-cond-not-boolean"
NOTHING: Any = {"kind": "seq", "children": []}
NOTE = {"kind": "let", "at": "$.note", "value": 1}
GIVEN = {"topic": "tea", "words": 200, "rows": [1], "ready": False, "later": None}
DRAFT = {
    "kind": "let",
    "at": "$.draft",
    "value": {"text": "$.topic", "ok": "$.words > 1"},
}


def told(
    node: Any,
    before: tuple[Any, ...] = (),
    verdict: Any = None,
    gives: str = "",
) -> list[tuple[str, str]]:
    flow = {"kind": "seq", "children": [*before, node]}
    agent = {"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}
    agents = [{**agent, **({} if verdict is None else {"verdict": verdict})}]
    document = {"id": "c", "dialect": "swarm", "flow": flow, "agents": agents}
    code = {"a": Signature(gives=frozenset(gives.split()))} if gives else {}
    report = lint_blueprint(
        {**document, "default_init_ctx": GIVEN}, options=LintOptions(signatures=code)
    )
    assert all(one.family for one in report.diagnostics), report.diagnostics
    return [
        (one.kind, one.message)
        for one in report.diagnostics
        if one.kind in (BRANCH, LOOP)
    ]


def branch(cond: Any) -> Any:
    return {"kind": "branch", "cond": cond, "then": NOTE, "else": NOTHING}


def loop(cond: Any, body: Any = NOTE) -> Any:
    return {"kind": "loop", "counter": "$.n", "cond": cond, "max": 3, "body": body}


@pytest.mark.parametrize(
    ("cond", "what"),
    [
        ("$.topic", "a string"),
        ("$.words", "a number"),
        ("$.rows", "an array"),
        ("$.draft", "an object"),
        ("$.draft.text", "a string"),
        ("upper($.topic)", "a string"),
        ("$.words + 1", "a number"),
        ("length($.rows)", "a number"),
        ("filter($.rows, r, r > 1)", "an array"),
        ("'PASS'", "a string"),
        ({"lit": None}, "null"),
        ("{a: 1}", "an object"),
        ('"{$.topic}"', "a string"),
        ("default($.draft.size, 3) * 2", "a number"),
    ],
)
def test_a_branch_on_what_is_no_boolean_is_told(cond: Any, what: str) -> None:
    message = f"a branch needs true or false, and this is {what}: it will fail"
    assert told(branch(cond), (DRAFT,)) == [(BRANCH, message)]


@pytest.mark.parametrize(
    "cond",
    [
        "$.ready",
        "$.later",
        "$.draft.ok",
        "$.topic == 'tea'",
        "contains($.topic, 't')",
        "not $.topic",
        "$.topic and $.words",
        "default($.verdict, false)",
        "$.answer",
        "$.answer.good",
        "max($.rows)",
        "get($.draft, 'ok')",
    ],
)
def test_a_branch_on_what_may_be_a_boolean_is_not_told(cond: Any) -> None:
    step = {"kind": "step", "agent": "a", "in": "$.topic", "out": "$.answer"}
    assert told(branch(cond), (DRAFT, step)) == []


def test_what_a_node_has_written_in_between_counts() -> None:
    step = {"kind": "step", "agent": "a", "in": "$.topic", "out": "$.topic"}
    assert told(branch("$.topic"), (step,)) == []
    assert told(branch("$.topic"), (branch("$.ready") | {"then": step},)) == []
    words = {"kind": "let", "at": "$.ready", "value": "'yes'"}
    assert [kind for kind, _ in told(branch("$.ready"), (words,))] == [BRANCH]


@pytest.mark.parametrize(
    ("cond", "what"),
    [
        ("length($.rows)", "a number"),
        ("$.words", "a number"),
        ("$.rows", "an array"),
        ("filter($.rows, r, r > 1)", "an array"),
        ("lower($.topic)", "a string"),
    ],
)
def test_a_loop_on_what_is_never_false_is_told(cond: str, what: str) -> None:
    message = (
        f"only null and false end a loop, and this is {what}: it always runs to its max"
    )
    assert told(loop(cond)) == [(LOOP, message)]


@pytest.mark.parametrize(
    "cond",
    ["true", "$.ready", "$.later", "$.note", "length($.rows) > 0", "not $.topic",
     "default($.verdict, null)"],
)  # fmt: skip
def test_a_loop_on_what_may_be_false_is_not_told(cond: str) -> None:
    assert told(loop(cond)) == []


def test_what_the_body_of_a_loop_writes_may_end_it() -> None:
    step = {"kind": "step", "agent": "a", "in": "$.rows", "out": "$.rows"}
    assert told(loop("$.rows", step)) == []


STEP = {"kind": "step", "agent": "a", "in": "$.topic", "out": "$.verdict"}
WORDS = {"channel": "body", "values": ["PASS", "FAIL"]}
PART = {"channel": "part", "values": ["PASS", "FAIL"]}
BOOLEANS = {"channel": "body", "values": ["true", "false"]}


@pytest.mark.parametrize(
    ("cond", "verdict", "gives", "what"),
    [
        ("$.verdict", WORDS, "", "a string"),
        ("$.verdict", WORDS, "boolean string", "a string"),
        ("$.verdict.parts.verdict", PART, "", "a string"),
        ("$.verdict", PART, "", "an object"),
        ("$.verdict", {"channel": "body", "values": ["1", "null"]}, "",
         "null or a number or a string"),
        ("$.verdict", None, "string", "an object or a string"),
        ("$.verdict.out", None, "number", "a number"),
        ("$.verdict", None, "null string", "null or an object or a string"),
    ],
)  # fmt: skip
def test_a_branch_on_an_answer_that_is_no_boolean_is_told(
    cond: str, verdict: Any, gives: str, what: str
) -> None:
    message = f"a branch needs true or false, and this is {what}: it will fail"
    assert told(branch(cond), (STEP,), verdict, gives) == [(BRANCH, message)]


@pytest.mark.parametrize(
    ("cond", "verdict", "gives"),
    [
        ("$.verdict", BOOLEANS, ""),
        ("$.verdict", WORDS, "boolean"),
        ("$.verdict == 'PASS'", WORDS, ""),
        ("$.verdict.out", PART, ""),
        ("$.verdict.parts.ok", None, "string"),
        ("$.verdict", None, "boolean"),
        ("$.verdict", None, ""),
    ],
)
def test_a_branch_on_an_answer_that_may_be_a_boolean_is_not_told(
    cond: str, verdict: Any, gives: str
) -> None:
    assert told(branch(cond), (STEP,), verdict, gives) == []


def test_a_loop_on_the_answer_of_its_body() -> None:
    message = "only null and false end a loop, and this is a string: it always runs to its max"
    to_topic = STEP | {"out": "$.topic"}
    assert told(loop("$.topic", to_topic), (), WORDS) == [(LOOP, message)]
    assert told(loop("$.verdict", STEP), (STEP,), WORDS) == [(LOOP, message)]
    # It may be false, or null, when the first round begins or in one of them.
    assert told(loop("$.ready", STEP | {"out": "$.ready"}), (), WORDS) == []
    assert told(loop("$.later", STEP | {"out": "$.later"}), (), WORDS) == []
    assert told(loop("$.topic", to_topic), (), BOOLEANS) == []
    assert (
        told(loop("$.topic", branch("$.ready") | {"then": to_topic}), (), WORDS) == []
    )
