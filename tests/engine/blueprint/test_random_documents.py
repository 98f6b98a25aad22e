"""Random flows written back are the same program; random damage never breaks a check."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
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
from engine.blueprint.findings.diagnostics import resolve_place
from engine.flow import DIALECTS, Dialect, dump_compact, evaluate_expr, parse_expr
from engine.flow.grammar import COLLECTING, JOINS, NODES, OPS, Field, Word
from engine.flow.path import parse_path
from engine.flow.source import in_source_words

CASES = Path(__file__).resolve().parents[2] / "cases" / "blueprints"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
# Words that hold neither nodes nor, among the operators, expressions.
LEAVES = ("path", "lit", "step", "let", "assign", "delete")
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
KEYS = st.sampled_from(["a", "op", "lit", "a.b", "", "é", '"q"', "0"])
PATHS = ["$", "ctx", "$.a", "ctx.a.b", '$["p.q"]', "$.é", "$.d.x", '$.a["x"].b']
INDEXED = ["$[0]", "$.a[-1]", 'ctx.a[2]["x"].b']
# What fields hold that are neither nodes nor expressions, by their type.
PLAIN: Mapping[str, Any] = {
    "text": st.sampled_from(["f", "g"]),
    # Names are unique in a flow, so random ones are not.
    "name": st.uuids().map(str),
    "JSON": values,
    "join": st.sampled_from([join.name for join in JOINS]),
    "integer": st.integers(1, 9),
    "positive integer": st.integers(1, 9),
    "`continue` or `fail`": st.sampled_from(["continue", "fail"]),
    "`text` or `object`": st.sampled_from(["text", "object"]),
}


def objects(tag: str, word: Word, dialect: Dialect, types: Mapping[str, Any]) -> Any:
    """Makes objects of one word of the grammar."""
    fields = word.in_source(dialect).fields
    made = st.fixed_dictionaries(
        {tag: st.just(word.name)}
        | {one.name: value_of(one, types) for one in fields if not one.optional},
        optional={one.name: value_of(one, types) for one in fields if one.optional},
    )
    return made.map(told_where if dialect == "flow.ir" else selecting)


def value_of(field: Field, types: Mapping[str, Any]) -> Any:
    """Makes values of a field, as many expressions as it takes."""
    if field.dollar_keys:
        return types["input"]
    if field.type != "expressions":
        return types[field.type]
    most = 3 if field.most is None else field.most
    return st.lists(types["expression"], min_size=field.least, max_size=most)


def told_where(value: Any) -> Any:
    """Returns a node in which err_as has its err_at."""
    if value.get("err_at") is None:
        value.pop("err_as", None)
    return value


def selecting(value: Any) -> Any:
    """Returns a node of the dialect swarm in which a fanout says what it collects."""
    if value.get("join") in COLLECTING:
        value.setdefault("select", {"op": "path", "at": "$"})
    return told_where(value)


def words_of(words: Sequence[Word], dialect: Dialect) -> list[Word]:
    return [word for word in words if word.dialect in ("flow.ir", dialect)]


@cache
def sorts_of(dialect: Dialect) -> Mapping[str, Any]:
    """Values of the fields of nodes, except nodes."""
    paths = st.sampled_from(PATHS + (INDEXED if dialect == "swarm" else []))
    path = st.builds(lambda at: {"op": "path", "at": at}, paths)
    literal = st.builds(lambda value: {"op": "lit", "value": value}, values)
    operators = [one for one in words_of(OPS, dialect) if one.name not in LEAVES]

    def wider(inner: Any) -> Any:
        types = {
            **PLAIN, "path": paths, "path expression": path, "expression": inner,
            "object of expressions": st.dictionaries(KEYS, inner, max_size=3),
        }  # fmt: skip
        return st.one_of([objects("op", one, dialect, types) for one in operators])

    exprs = st.recursive(path | literal, wider, max_leaves=6)
    below = paths.filter(lambda text: text not in ("$", "ctx"))
    own = st.dictionaries(KEYS | st.just("$in"), exprs, max_size=3)
    tree = own.map(lambda entries: {"op": "object", "entries": entries})
    return {
        **PLAIN, "path": paths, "path below $": below, "path expression": path,
        "expression": exprs, "input": exprs | tree if dialect == "swarm" else exprs,
    }  # fmt: skip


@cache
def flows(dialect: Dialect) -> Any:
    """Flows of every node and operator that the grammar has."""
    types = sorts_of(dialect)
    kinds = words_of(NODES, dialect)

    def nodes(kinds: Sequence[Word], types: Mapping[str, Any]) -> Any:
        return st.one_of([objects("kind", one, dialect, types) for one in kinds])

    def deeper(inner: Any) -> Any:
        more = {**types, "node": inner, "nodes": st.lists(inner, max_size=4)}
        return nodes([one for one in kinds if one.name not in LEAVES], more)

    leaves = nodes([one for one in kinds if one.name in LEAVES], types)
    return st.recursive(leaves, deeper, max_leaves=8)


def one_of_each(dialect: Dialect) -> Iterator[Any]:
    """Yields a small flow for each word and each optional field of the grammar."""
    empty = {"kind": "seq", "children": []}
    path = {"op": "path", "at": "$.a"}
    simple = {
        "text": "f", "name": "n", "JSON": [1, {}], "join": "all", "integer": 2, "positive integer": 2, "path": "$.a",
        "path expression": path, "expression": path, "path below $": "$.a",
        "object of expressions": {"op": path, "k": path},
        "node": empty, "nodes": [empty], "`continue` or `fail`": "fail",
        "`text` or `object`": "object",
    }  # fmt: skip
    for tag, words in (("kind", NODES), ("op", OPS)):
        for word in words_of(words, dialect):
            fields = word.in_source(dialect).fields
            least = [one for one in fields if not one.optional]
            for kept in (least, fields):
                made = {tag: word.name}
                for one in kept:
                    few = [path] * max(one.least, min(2, one.most or 2))
                    made[one.name] = simple.get(one.type, few)
                made = selecting(made) if dialect == "swarm" else made
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
    """Returns a flow in its normal form.

    Its paths are in the one spelling, what is absent is null, and constructors of
    literals are literals.
    """
    if isinstance(value, list):
        return [as_written(part, dialect) for part in value]
    if not isinstance(value, dict) or value.get("op") == "lit":
        return value
    made = {key: as_written(part, dialect) for key, part in value.items()}
    for key in ("at", "as"):
        if isinstance(made.get(key), str):
            made[key] = str(parse_path(made[key], dialect))
    if made.get("kind") == "step" and "agent" in made:
        made["ref"] = made.pop("agent")
    made = folded(made)
    return {"err_at": None, **made} if made.get("kind") == "try" else made


def folded(made: Any) -> Any:
    """Returns a constructor of literals as the literal."""
    match made:
        case {"op": "object", "entries": entries}:
            if all(part["op"] == "lit" for part in entries.values()):
                return literal({key: part["value"] for key, part in entries.items()})
        case {"op": "array", "items": items}:
            if all(part["op"] == "lit" for part in items):
                return literal([part["value"] for part in items])
        case {"op": "template", "parts": parts}:
            groups = groupby(parts, lambda part: part["op"] == "lit")
            kept: list[Any] = []
            for is_literal, group in groups:
                texts = map(written, group) if is_literal else ()
                kept += group if not is_literal else filter(None, ["".join(texts)])
            kept = [literal(one) if isinstance(one, str) else one for one in kept]
            if all(part["op"] == "lit" for part in kept):
                return (kept or [literal("")])[0]
            return {"op": "template", "parts": kept}
    return made


def literal(value: Any) -> Any:
    return {"op": "lit", "value": value}


def written(part: Any) -> str:
    call = {"op": "to_string", "args": [part]}
    return str(evaluate_expr(parse_expr(call, "swarm"), None))


def check_written_back(flow: Any, dialect: Dialect) -> None:
    program = compile_blueprint(document(flow, dialect))
    assert dump_compact(program.flow_json) == dump_compact(as_written(flow, dialect))
    source = (
        program.flow_json
        if dialect == "flow.ir"
        else in_source_words(program.flow_json)
    )
    again = compile_blueprint(document(source, dialect))
    assert again == program
    assert again.program_id == program.program_id
    stored = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert stored.program_id == program.program_id
    assert stored.flow.to_json() == program.flow.to_json() == program.flow_json
    # It is of today, so only trees are brought up, and the schema takes it.
    upgraded = upgrade(document(flow, dialect))[0]
    assert upgrade(upgraded)[0] == upgraded
    if dialect == "flow.ir":
        assert upgraded == document(flow, dialect)
    else:
        VALIDATOR.validate(upgraded)
        assert compile_blueprint(upgraded).program_id == program.program_id
        for found in lint_blueprint(upgraded).diagnostics:
            resolve_place(upgraded, found.place)
    VALIDATOR.validate(document(source, dialect))
    for found in lint_blueprint(document(flow, dialect)).diagnostics:
        resolve_place(document(flow, dialect), found.place)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_flow_written_back_is_the_same_program(dialect: Dialect) -> None:
    @SLOW_START
    @given(flows(dialect))
    def check(flow: Any) -> None:
        check_written_back(flow, dialect)

    check()


@pytest.mark.slow
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
def test_damage_anywhere_is_reported_with_a_place(sound: Any, data: Any) -> None:
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
    compiled_again = upgrade(value)[0]
    assert upgrade(compiled_again)[0] == compiled_again
