"""What a comparison says of each kind of change."""

from typing import Any

import pytest
from flow_edits import blueprint

from engine.blueprint.comparison import Previous, compare, identify, print_comparison

DRAFT = {
    "kind": "step",
    "name": "draft",
    "agent": "writer",
    "in": "$.n + 1",
    "out": "$.d",
}
TREE = {
    "op": "add",
    "lhs": {"op": "path", "at": "$.n"},
    "rhs": {"op": "lit", "value": 1},
}


def listed(old: Any, new: Any, **ids: Any) -> str:
    return print_comparison(compare(old, new, **ids), with_text=False)


def agents(*those: Any) -> Any:
    return blueprint({"kind": "seq", "children": []}, agents=list(those))


def test_a_text_and_its_tree_are_the_same_expression() -> None:
    old = blueprint(DRAFT)
    new = blueprint({**DRAFT, "in": TREE, "out": {"op": "path", "at": 'ctx["d"]'}})
    found = compare(old, new)
    assert found.changes == ()
    assert print_comparison(found).startswith(
        "only the way it is written has changed\n"
    )
    assert found.text


def test_so_they_are_where_a_field_beside_them_is_broken() -> None:
    step = {**DRAFT, "in": {"$in": "$.n + 1"}, "out": 7}
    new = {**step, "in": {"op": "object", "entries": {"$in": TREE}}, "out": 8}
    assert listed(blueprint(step), blueprint(new)) == (
        "~ step 'draft' at /\n    out: 7 → 8\n"
    )


def test_a_flow_of_the_other_dialect_has_the_same_nodes() -> None:
    tree = {"op": "path", "at": "$.d"}
    step = {"kind": "step", "ref": "writer", "in": TREE, "out": tree}
    unnamed = {key: value for key, value in DRAFT.items() if key != "name"}
    found = listed({"id": "edited", "flow": step}, blueprint(unnamed))
    assert found == "~ Blueprint\n    + dialect: 'swarm'\n"


def test_a_field_is_called_as_its_author_calls_it() -> None:
    step = {
        "kind": "step",
        "ref": "writer",
        "in": TREE,
        "out": {"op": "path", "at": "$.d"},
    }
    found = listed({"flow": step}, {"flow": {**step, "ref": "editor"}})
    assert found == "~ step of 'editor' at /\n    ref: 'writer' → 'editor'\n"


def test_numbers_and_booleans_are_told_apart() -> None:
    old = {"kind": "let", "at": "$.a", "value": 1}
    found = listed(blueprint(old), blueprint({**old, "value": True}))
    assert found == "~ let $.a at /\n    value: 1 → true\n"
    assert "1 → 1.0" in listed(blueprint(old), blueprint({**old, "value": 1.0}))


def test_a_node_that_is_renamed_moved_and_changed_is_three_changes() -> None:
    loop = {"kind": "loop", "counter": "$.i", "cond": "$.i < 3", "max": 3}
    empty: Any = {"kind": "seq", "children": []}
    old = {"kind": "seq", "children": [DRAFT, {**loop, "body": empty}]}
    after = {**DRAFT, "name": "outline", "in": "$.n"}
    body = {"kind": "seq", "children": [after]}
    new = {"kind": "seq", "children": [{**loop, "body": body}]}
    assert listed(blueprint(old), blueprint(new)) == (
        "= step 'outline' at /children/0/body/children/0, 'draft' before\n"
        "→ step 'outline' from /children/0 to /children/0/body/children/0\n"
        "~ step 'outline' at /children/0/body/children/0\n"
        "    in: $.n + 1 → $.n\n"
    )


def test_stored_identities_are_stronger_than_names() -> None:
    other = {**DRAFT, "name": "review", "agent": "critic"}
    old = blueprint({"kind": "seq", "children": [DRAFT, other]})
    swapped = [{**DRAFT, "name": "review"}, {**other, "name": "draft"}]
    new = blueprint({"kind": "seq", "children": swapped})
    ids = identify(old)
    found = listed(old, new, old_identities=ids, new_identities=ids)
    assert [line[0] for line in found.splitlines()] == ["=", "="]


def test_a_node_that_came_back_is_the_same_where_it_is_equal() -> None:
    full = blueprint({"kind": "seq", "children": [DRAFT]})
    moved = blueprint(
        {"kind": "seq", "children": [{"kind": "seq", "children": []}, DRAFT]}
    )
    first = identify(full)
    second = identify(moved, Previous(full, first))
    ids = {**second, "$.flow.children[1]": "of another history"}
    found = compare(full, moved, old_identities=first, new_identities=ids).changes
    assert [one.what for one in found] == ["added"]


LUA = {"name": "judge", "kind": "lua", "spec": {"source": "return 1"}, "timeout": "30s"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ([], [LUA], "+ agent 'judge'\n"),
        ([LUA], [], "- agent 'judge'\n"),
        ([LUA], [{**LUA, "name": "critic"}], "= agent 'critic', 'judge' before\n"),
        (
            [LUA],
            [{**LUA, "name": "critic", "timeout": "1m"}],
            "= agent 'critic', 'judge' before\n"
            "~ agent 'critic'\n    timeout: '30s' → '1m'\n",
        ),
        (
            [LUA],
            [{"name": "critic", "kind": "python_fn", "spec": {"fn": "a:b"}}],
            "+ agent 'critic'\n- agent 'judge'\n",
        ),
        (
            [LUA, {"name": "b"}, {"name": "c"}],
            [{"name": "b"}, {"name": "c"}, LUA],
            "→ agent 'judge' from agents/0 to agents/2\n",
        ),
        (
            [{**LUA, "limit": {"key": "$.n + 1", "max": 2}}],
            [{**LUA, "limit": {"key": TREE, "max": 3}}],
            "~ agent 'judge'\n    limit.max: 2 → 3\n",
        ),
        (
            [{**LUA, "spec": {"source": "return 1\n" * 40 + "return 2"}}],
            [{**LUA, "spec": {"source": "return 1\n" * 40 + "return 3"}}],
            "~ agent 'judge'\n"
            "    spec.source: …1\\nreturn 1\\nreturn 2' → …1\\nreturn 1\\nreturn 3'\n",
        ),
        (
            [7],
            [LUA, 7],
            "+ agent 'judge'\n",
        ),
    ],
)
def test_agents(old: Any, new: Any, text: str) -> None:
    assert listed(agents(*old), agents(*new)) == text


def test_the_blueprint_itself() -> None:
    old = {
        "id": "a",
        "default_init_ctx": {"topic": "tea", "n": 1},
        "metas": [{"name": "m"}],
    }
    new = {
        "id": "a",
        "default_init_ctx": {"topic": "ale"},
        "metas": [{"name": "m", "ctx": {}}],
        "strategy": {"strict_refs": False},
    }
    assert listed(old, new) == (
        "~ Blueprint\n"
        "    default_init_ctx.topic: 'tea' → 'ale'\n"
        "    - default_init_ctx.n: 1\n"
        "    + metas.m.ctx: {}\n"
        "    + strategy: {strict_refs: false}\n"
    )


def test_no_name_makes_a_line_of_its_own() -> None:
    odd = {"kind": "step", "name": "a\n+ step 'b'", "x\ny": 1}
    assert listed(blueprint(None), blueprint(odd)).count("\n") == 2
    assert listed(agents(), agents({"name": "a\nb"})) == "+ agent 'a\\nb'\n"
