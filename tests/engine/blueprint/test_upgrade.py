"""Tests of engine/blueprint/upgrade.py: older words, and nothing guessed."""

import copy
from typing import Any

import pytest
from flow_documents import at, lit

from engine.blueprint import BlueprintInvalid, compile_blueprint, upgrade
from engine.blueprint.findings.diagnostics import resolve_place


def branch(cond: Any) -> Any:
    nothing = {"kind": "seq", "children": []}
    return {"kind": "branch", "cond": cond, "then": nothing, "else": nothing}


def document(cond: Any, **more: Any) -> Any:
    return {"id": "old", "flow": branch(cond), **more}


SEED = document(
    {
        "op": "and",
        "operands": [
            {"op": "le", "lhs": at("$.n"), "rhs": lit(3)},
            {
                "op": "or",
                "operands": [
                    {"op": "not", "operand": {"op": "exists", "at": "$.a"}},
                    {
                        "op": "ge",
                        "lhs": {"op": "len", "of": at("$a.b")},
                        "rhs": lit(1),
                    },
                ],
            },
        ],
    }
)
TODAY = document(
    {
        "op": "and",
        "args": [
            {"op": "lte", "lhs": at("$.n"), "rhs": lit(3)},
            {
                "op": "or",
                "args": [
                    {"op": "not", "arg": {"op": "exists", "arg": at("$.a")}},
                    {
                        "op": "gte",
                        "lhs": {"op": "len", "arg": at("$.a.b")},
                        "rhs": lit(1),
                    },
                ],
            },
        ],
    }
)


def test_a_document_of_the_seed_is_refused_and_compiles_once_upgraded() -> None:
    before = copy.deepcopy(SEED)
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(SEED)
    assert [found.kind for found in caught.value.diagnostics] == ["older-dialect"]
    assert "blueprint upgrade" in caught.value.diagnostics[0].help
    assert upgrade(SEED)[0] == TODAY
    assert before == SEED
    assert compile_blueprint(upgrade(SEED)[0]) == compile_blueprint(TODAY)


def test_each_note_stands_where_something_was_rewritten() -> None:
    _, notes = upgrade(SEED)
    assert len(notes) == 8
    for note in notes:
        resolve_place(SEED, note.place)
    text = "\n".join(map(str, notes))
    assert "$.flow.cond.operands[0].op: 'le' is now 'lte'" in text
    assert "a value of null counts as absent now" in text


def test_what_is_of_today_is_left_alone() -> None:
    assert upgrade(TODAY) == (TODAY, [])
    assert upgrade(upgrade(SEED)[0])[0] == upgrade(SEED)[0]


@pytest.mark.parametrize(
    "cond",
    [
        {"op": "and", "operands": [], "args": []},
        {"op": "exists", "at": 5},
        {"op": "less", "lhs": at("$.a"), "rhs": lit(1)},
        at("$.a..b"),
        at("a.b"),
        {"op": "eq", "lhs": lit({"op": "le", "operands": 1}), "rhs": lit(1)},
    ],
)
def test_what_can_mean_two_things_stays_as_it_is(cond: Any) -> None:
    assert upgrade(document(cond)) == (document(cond), [])


@pytest.mark.parametrize(
    "value",
    [
        {"lit": {"op": "le"}},
        {"lit": [{"op": "path", "at": "$x"}]},
        {"object": {"op": "$.a", "operands": "$.b"}},
        {"object": {"at": {"lit": {"op": "ge"}}}},
    ],
)
def test_data_that_looks_like_an_old_word_is_data(value: Any) -> None:
    flow = {"kind": "let", "at": "$.x", "value": value}
    document = {"id": "case", "dialect": "swarm", "flow": flow}
    assert upgrade(document) == (document, [])


def test_old_bindings_become_runners() -> None:
    old = document(
        lit(True),
        agents=[
            {
                "name": "critic",
                "kind": "operator",
                "spec": {"operator_ref": "desk"},
                "profile": {"worker_binding": "reviewer", "tools": ["Read"]},
            },
            {"name": "llm", "kind": "subprocess"},
        ],
        operators=[{"name": "desk"}],
        subprocesses=[{"name": "cli", "argv": ["cli"]}],
        hints={"per_agent": {"llm": {"subprocess_template": "cli"}}},
    )
    new, notes = upgrade(old)
    assert new["agents"][0]["profile"] == {"tools": ["Read"]}
    assert [agent["runner"] for agent in new["agents"]] == [
        {"backend": "ws_claude_code", "variant": "reviewer", "tools": ["Read"]},
        {"backend": "subprocess", "template": "cli"},
    ]
    assert len(notes) == 2
    program = compile_blueprint(new)
    assert program.agents["llm"].spec["argv"] == ["cli"]
    # What the old field meant is what the runner means now.
    del old["agents"][1], old["hints"]
    was = compile_blueprint(old).agents["critic"]
    now = program.agents["critic"]
    assert (was.runner, was.profile) == (now.runner, now.profile)


def test_the_word_for_a_number_of_attempts_is_the_new_one() -> None:
    agent = {"name": "a.b", "kind": "python_fn", "spec": {"fn_id": "f"}}
    retry = {"max": 3, "base_s": 1}
    old = document(lit(True), agents=[agent])
    old["hints"] = {"per_agent": {"a.b": {"retry": retry}}}
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(old)
    [found] = caught.value.diagnostics
    assert (found.kind, found.help) == (
        "unknown-field",
        "did you mean 'max_attempts'?",
    )

    new, notes = upgrade(old)
    [note] = notes
    assert resolve_place(old, note.place) == 3
    assert list(new["hints"]["per_agent"]["a.b"]["retry"]) == ["max_attempts", "base_s"]
    assert compile_blueprint(new).agents["a.b"].retry.max_attempts == 3
    assert retry == {"max": 3, "base_s": 1}

    both = {"max": 3, "max_attempts": 2}
    old["hints"] = {"per_agent": {"a.b": {"retry": both}}}
    assert upgrade(old)[0] == old


def test_a_binding_beside_a_runner_is_left_for_its_author() -> None:
    agent = {
        "name": "critic",
        "profile": {"worker_binding": "x"},
        "runner": {"backend": "ws_operator", "variant": "y"},
    }
    value = document(lit(True), agents=[agent])
    assert upgrade(value)[0] == value


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, {"flow": 5, "agents": 5}])
def test_what_is_no_blueprint_comes_back(value: Any) -> None:
    assert upgrade(value)[0] == value


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(BlueprintInvalid, match="finite"):
        upgrade({"flow": float("inf")})


def test_the_input_of_a_step_keeps_its_keys_with_a_dollar() -> None:
    def written(**entries: Any) -> Any:
        tree = {"op": "object", "entries": entries}
        step = {"kind": "step", "agent": "f", "in": tree, "out": "$.b"}
        agent = {"name": "f", "kind": "python_fn", "spec": {"fn_id": "identity"}}
        return {"id": "old", "dialect": "swarm", "flow": step, "agents": [agent]}

    inner = {"op": "path", "at": "$.a"}
    for old, new in (
        (written(**{"$in": inner}), {"$in": "$.a"}),
        # A mapping with the key `op` would be an operator, so this one is a text.
        (written(**{"$in": inner, "op": inner}), "{$in: $.a, op: $.a}"),
    ):
        upgraded = upgrade(old)[0]
        assert upgraded["flow"]["in"] == new
        assert (
            compile_blueprint(upgraded).program_id == compile_blueprint(old).program_id
        )


def test_the_key_of_a_limit_is_brought_up_like_the_flow() -> None:
    key = {"op": "not", "operand": {"op": "exists", "at": "$.user"}}
    agent = {"name": "llm.1", "kind": "subprocess", "spec": {"program": "cli"}}
    old = document(lit(True), agents=[agent])
    old["hints"] = {"per_agent": {"llm.1": {"limit": {"key": key, "max": 1}}}}
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(old)
    [found] = caught.value.diagnostics
    assert found.kind == "older-dialect"
    assert "blueprint upgrade" in found.help

    new, notes = upgrade(old)
    limit = new["hints"]["per_agent"]["llm.1"]["limit"]
    assert limit["key"] == {"op": "not", "arg": {"op": "exists", "arg": at("$.user")}}
    start = '$.hints.per_agent["llm.1"].limit.key'
    assert [note.place for note in notes] == [f"{start}.operand", start]
    for note in notes:
        resolve_place(old, note.place)
    assert compile_blueprint(new).agents
    assert upgrade(new)[0] == new
