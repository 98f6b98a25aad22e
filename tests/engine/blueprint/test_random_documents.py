"""Random flows written back are the same program; random damage never breaks a check."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.blueprint import (
    BlueprintInvalid,
    Program,
    compile_blueprint,
    json_schema,
    lint_blueprint,
    upgrade,
)
from engine.blueprint.diagnostics import resolve_place
from engine.flow import DIALECTS, Dialect, dump_compact
from engine.flow.grammar import JOINS, NODES, OPS, Word
from engine.flow.path import parse_path

CASES = Path(__file__).resolve().parents[2] / "cases" / "blueprints"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
# Words that hold neither nodes nor, among the operators, expressions.
LEAVES = ("path", "lit", "step", "let", "assign")
SLOW_START = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

scalars = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, -0.0, 1e300])
)
values = st.recursive(
    scalars | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
PATHS = ["$", "ctx", "$.a", "ctx.a.b", '$["p.q"]', "$.é", "$.d.x", '$.a["x"].b']
INDEXED = ["$[0]", "$.a[-1]", 'ctx.a[2]["x"].b']
# What fields hold that are neither nodes nor expressions, by their sort.
PLAIN: Mapping[str, Any] = {
    "text": st.sampled_from(["f", "g"]),
    "JSON": values,
    "join": st.sampled_from([join.name for join in JOINS]),
    "integer": st.integers(1, 9),
    "`continue` or `fail`": st.sampled_from(["continue", "fail"]),
    "`text` or `object`": st.sampled_from(["text", "object"]),
}


def objects(tag: str, word: Word, dialect: Dialect, sorts: Mapping[str, Any]) -> Any:
    """Makes objects of one word of the grammar."""
    fields = word.in_dialect(dialect).fields
    made = st.fixed_dictionaries(
        {tag: st.just(word.name)}
        | {one.name: sorts[one.sort] for one in fields if not one.optional},
        optional={one.name: sorts[one.sort] for one in fields if one.optional},
    )
    return made.map(told_where)


def told_where(value: Any) -> Any:
    """Returns a node in which err_as has its err_at."""
    if value.get("err_at") is None:
        value.pop("err_as", None)
    return value


def words_of(words: Sequence[Word], dialect: Dialect) -> list[Word]:
    return [word for word in words if word.dialect in ("flow.ir", dialect)]


@cache
def sorts_of(dialect: Dialect) -> Mapping[str, Any]:
    """What the fields of nodes hold, but nodes."""
    paths = st.sampled_from(PATHS + (INDEXED if dialect == "swarm" else []))
    path = st.builds(lambda at: {"op": "path", "at": at}, paths)
    literal = st.builds(lambda value: {"op": "lit", "value": value}, values)
    operators = [one for one in words_of(OPS, dialect) if one.name not in LEAVES]

    def wider(inner: Any) -> Any:
        sorts = {
            **PLAIN, "path": paths, "path expression": path, "expression": inner,
            "expressions": st.lists(inner, max_size=3),
        }  # fmt: skip
        return st.one_of([objects("op", one, dialect, sorts) for one in operators])

    exprs = st.recursive(path | literal, wider, max_leaves=6)
    return {**PLAIN, "path": paths, "path expression": path, "expression": exprs}


@cache
def flows(dialect: Dialect) -> Any:
    """Flows of every node and operator that the grammar has."""
    sorts = sorts_of(dialect)
    kinds = words_of(NODES, dialect)

    def nodes(kinds: Sequence[Word], sorts: Mapping[str, Any]) -> Any:
        return st.one_of([objects("kind", one, dialect, sorts) for one in kinds])

    def deeper(inner: Any) -> Any:
        more = {**sorts, "node": inner, "nodes": st.lists(inner, max_size=4)}
        return nodes([one for one in kinds if one.name not in LEAVES], more)

    leaves = nodes([one for one in kinds if one.name in LEAVES], sorts)
    return st.recursive(leaves, deeper, max_leaves=8)


def one_of_each(dialect: Dialect) -> Iterator[Any]:
    """Yields a small flow for each word and each optional field of the grammar."""
    empty = {"kind": "seq", "children": []}
    path = {"op": "path", "at": "$.a"}
    simple = {
        "text": "f", "JSON": [1, {}], "join": "all", "integer": 2, "path": "$.a",
        "path expression": path, "expression": path, "expressions": [path, path],
        "node": empty, "nodes": [empty], "`continue` or `fail`": "fail",
        "`text` or `object`": "object",
    }  # fmt: skip
    for tag, words in (("kind", NODES), ("op", OPS)):
        for word in words_of(words, dialect):
            fields = word.in_dialect(dialect).fields
            least = [one for one in fields if not one.optional]
            for kept in (least, fields):
                made = {tag: word.name} | {one.name: simple[one.sort] for one in kept}
                yield made if tag == "kind" else {
                    "kind": "let", "at": "$.b", "value": made,
                }  # fmt: skip


def document(flow: Any, dialect: Dialect = "flow.ir") -> Any:
    agents = [
        {"name": name, "kind": "python_fn", "spec": {"fn_id": "identity"}}
        for name in ("f", "g")
    ]
    return {"id": "random", "dialect": dialect, "flow": flow, "agents": agents}


def as_written(value: Any, dialect: Dialect) -> Any:
    """Returns a flow with its paths in the one spelling, and what is absent as null."""
    if isinstance(value, list):
        return [as_written(part, dialect) for part in value]
    if not isinstance(value, dict) or value.get("op") == "lit":
        return value
    made = {key: as_written(part, dialect) for key, part in value.items()}
    for key in ("at", "as"):
        if isinstance(made.get(key), str):
            made[key] = str(parse_path(made[key], dialect))
    return {"err_at": None, **made} if made.get("kind") == "try" else made


def check_written_back(flow: Any, dialect: Dialect) -> None:
    program = compile_blueprint(document(flow, dialect))
    assert dump_compact(program.flow_json) == dump_compact(as_written(flow, dialect))
    again = compile_blueprint(document(program.flow_json, dialect))
    assert again == program
    assert again.program_id == program.program_id
    stored = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert stored.program_id == program.program_id
    assert stored.flow.to_json() == program.flow.to_json() == program.flow_json
    # It is of today, so there is nothing to bring up, and the schema takes it.
    assert upgrade(document(flow, dialect)) == document(flow, dialect)
    VALIDATOR.validate(document(program.flow_json, dialect))
    for found in lint_blueprint(document(flow, dialect)).diagnostics:
        resolve_place(document(flow, dialect), found.place)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_flow_written_back_is_the_same_program(dialect: Dialect) -> None:
    @SLOW_START
    @given(flows(dialect))
    def check(flow: Any) -> None:
        check_written_back(flow, dialect)

    check()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_word_written_back_is_the_same_program(dialect: Dialect) -> None:
    ids = set()
    for flow in one_of_each(dialect):
        check_written_back(flow, dialect)
        program = compile_blueprint(document(flow, dialect))
        ids.add(program.program_id)
    assert len(ids) > (30 if dialect == "swarm" else 25)


SOUND = [
    json.loads(found.read_text())
    for found in sorted(CASES.glob("*/*.json"))
    if not found.stem.endswith(".expected") and found.parent.name != "not-json"
]
anything = values | st.sampled_from(
    [
        "",
        "$",
        "$.",
        "drafter",
        "x" * 200,
        {"op": "path", "at": "$["},
        {"op": "le"},
        [1, 2],
    ]
)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with every key in it."""
    below = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(value, key) for key, _ in below]
    parts = value.values() if isinstance(value, dict) else value
    for part in parts:
        if isinstance(part, dict | list):
            found += spots(part)
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SOUND), st.data())
def test_damage_anywhere_is_told_with_a_place(sound: Any, data: Any) -> None:
    value = copy.deepcopy(sound)
    owner, key = data.draw(st.sampled_from(spots(value)))
    how = data.draw(st.sampled_from(["replace", "delete", "add"]))
    if how == "delete":
        del owner[key]
    elif how == "add" and isinstance(owner, dict):
        owner[data.draw(st.text(max_size=5))] = data.draw(anything)
    else:
        owner[key] = data.draw(anything)
    found = list(lint_blueprint(value).diagnostics)
    try:
        compile_blueprint(value)
    except BlueprintInvalid as error:
        found += error.diagnostics
    for one in found:
        resolve_place(value, one.place)
        assert one.message
    compiled_again = upgrade(value)
    assert upgrade(compiled_again) == compiled_again
