"""Random flows written back are the same program; random damage never breaks a check."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
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

CASES = Path(__file__).resolve().parents[2] / "cases" / "blueprints"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
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
paths = st.sampled_from(
    ["$", "ctx", "$.a", "ctx.a.b", '$["p.q"]', "$.é", "$.d.x", '$.a["x"].b']
)
path = st.builds(lambda at: {"op": "path", "at": at}, paths)
atoms = path | st.builds(lambda value: {"op": "lit", "value": value}, values)


def wider(inner: Any) -> Any:
    two = st.sampled_from(["eq", "ne", "lt", "gte", "add", "mod"])
    one = st.sampled_from(["not", "exists", "len"])
    many = st.sampled_from(["and", "or"])
    return (
        st.builds(lambda op, a, b: {"op": op, "lhs": a, "rhs": b}, two, inner, inner)
        | st.builds(lambda op, a: {"op": op, "arg": a}, one, inner)
        | st.builds(lambda op, a: {"op": op, "args": a}, many, st.lists(inner))
        | st.builds(lambda a, b: {"op": "in", "needle": a, "haystack": b}, inner, inner)
    )


exprs = st.recursive(atoms, wider, max_leaves=6)
step = st.builds(
    lambda ref, given, out: {"kind": "step", "ref": ref, "in": given, "out": out},
    st.sampled_from(["f", "g"]), exprs, path,
)  # fmt: skip
leaves = (
    step
    | st.builds(lambda at, v: {"kind": "assign", "at": at, "value": v}, path, exprs)
    | st.builds(lambda at, v: {"kind": "let", "at": at, "value": v}, paths, exprs)
)


def deeper(inner: Any) -> Any:
    joins = st.sampled_from(["all", "any", "race", "all_settled"])
    return (
        st.builds(lambda rows: {"kind": "seq", "children": rows}, st.lists(inner))
        | st.fixed_dictionaries(
            {"kind": st.just("branch"), "cond": exprs, "then": inner, "else": inner}
        )
        | st.fixed_dictionaries(
            {
                "kind": st.just("loop"), "counter": path, "cond": exprs, "body": inner,
                "max": st.integers(0, 9),
            }
        )
        | st.fixed_dictionaries(
            {
                "kind": st.just("fanout"), "items": exprs, "bind": path, "body": inner,
                "join": joins, "out": path,
            }
        )
        | st.fixed_dictionaries(
            {"kind": st.just("try"), "body": inner, "catch": inner},
            optional={"err_at": path | st.none()},
        )
    )  # fmt: skip


flows = st.recursive(leaves, deeper, max_leaves=8)


def document(flow: Any) -> Any:
    agents = [
        {"name": name, "kind": "python_fn", "spec": {"fn_id": "identity"}}
        for name in ("f", "g")
    ]
    return {"id": "random", "flow": flow, "agents": agents}


@SLOW_START
@given(flows)
def test_a_flow_written_back_is_the_same_program(flow: Any) -> None:
    program = compile_blueprint(document(flow))
    again = compile_blueprint(document(program.flow_json))
    assert again == program
    assert again.program_id == program.program_id
    text = json.dumps(program.to_json())
    assert Program.from_json(json.loads(text)).program_id == program.program_id
    # It is of today, so there is nothing to bring up, and the schema takes it.
    assert upgrade(document(flow)) == document(flow)
    VALIDATOR.validate(document(program.flow_json))
    for found in lint_blueprint(document(flow)).diagnostics:
        resolve_place(document(flow), found.place)


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
