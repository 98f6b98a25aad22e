"""The published JSON Schema takes exactly what the shape of the compiler takes.

Left out on both sides is what only the whole document shows, and what no schema can say:
texts inside texts (paths, placeholders), and a number that another number bounds.
"""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.blueprint import BlueprintInvalid, json_schema
from engine.blueprint.compiler import find_errors
from engine.blueprint.reading import read_blueprint

ROOT = Path(__file__).resolve().parents[3]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
FILES = [
    path
    for folder in (
        "tests/cases/blueprints",
        "tests/blueprints/whole_schema",
        "blueprints",
    )
    for path in sorted((ROOT / folder).rglob("*.json"))
    if not path.stem.endswith(".expected") and "scaffolds" not in path.parts
]
DOCUMENTS = [json.loads(path.read_text()) for path in FILES]
# Which of the findings in the whole document are of a closed set or a spec's own shape.
OF_SHAPE = {"unknown-spawner-hint", "unknown-agent-kind", "invalid-agent-spec"}
AGENT = {"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}
EMPTY = {"kind": "seq", "children": []}
WHOLE = re.compile(
    r"the name .* is taken|can't be restricted to the tool|no template is named"
)
BEYOND = re.compile(
    r"not-json|placeholder|column [0-9]+: |cap_s must|path|too long|keys|older|dialect"
    r"|schema_version .* can't be read|expected an object with 'op', got an array"
    r"|at most [0-9]+ keys|an integer, got [0-9.e+]+$"
)


def verdict(document: Any) -> bool | None:
    """Return whether the compiler's shape accepts a document; None if it cannot be decided."""
    try:
        view = read_blueprint(document)
        found = [*view.faults]
        found += [
            one
            for one in find_errors(view)
            if one.kind in OF_SHAPE and not WHOLE.search(one.message)
        ]
    except BlueprintInvalid as error:
        found = list(error.diagnostics)
    if found and all(BEYOND.search(f"{one} {one.kind}") for one in found):
        return None
    return not found


def spec_of_a_named_runner(document: Any) -> bool:
    """Return whether a child process has no spec, which its runner may give it."""
    agents = document.get("agents") if isinstance(document, dict) else None
    return any(
        isinstance(one, dict) and not one.get("spec") and not one.get("runner")
        for one in (agents if isinstance(agents, list) else [])
    )


def hold(document: Any) -> None:
    """Compare the schema's verdict with the shape's."""
    wanted = verdict(document)
    if wanted is None or (not wanted and spec_of_a_named_runner(document)):
        return
    if VALIDATOR.is_valid(document) is not wanted:
        errors = [
            f"{one.json_path}: {one.message[:200]}"
            for one in VALIDATOR.iter_errors(document)
        ]
        pytest.fail(str(errors or "the schema takes what the shape refuses"))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_document_is_taken_by_both_or_by_neither(path: Path) -> None:
    hold(json.loads(path.read_text()))


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Return every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            keys = list(one) if isinstance(one, dict) else list(range(len(one)))
            found += [(one, key) for key in keys]
            waiting += [one[key] for key in keys]
    return found


ANY = st.sampled_from(
    [None, True, False, 0, -1, 1.5, 7, "", "x", "lua", "subprocess", "a b", [], {}, ["x"],
     {"op": "lit", "value": 1}, {"kind": "seq", "children": []}, {"argv": ["x"]}]
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_document_is_taken_by_both_or_by_neither(data: st.DataObject) -> None:
    document = deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 2))):
        places = spots(document)
        if not places:
            return
        owner, key = data.draw(st.sampled_from(places))
        how = data.draw(st.sampled_from(["drop", "change", "move", "add"]))
        if how == "drop":
            del owner[key]
        elif how == "change":
            owner[key] = deepcopy(data.draw(ANY))
        elif how == "move":
            other = data.draw(
                st.sampled_from(spots(data.draw(st.sampled_from(DOCUMENTS))))
            )
            owner[key] = deepcopy(other[0][other[1]])
        elif isinstance(owner, dict):
            owner[
                data.draw(st.sampled_from(["zz", "kind", "spec", "max", "runner"]))
            ] = deepcopy(data.draw(ANY))
    hold(document)


@pytest.mark.parametrize(
    ("word", "valid"),
    [
        ("cat", True), ("{work_dir}/cat", True), ("{{prompt}}", True), ("a{B}", True),
        ("", False), ("{prompt}", False), ("x{{{model}", False), ("{modell}", False),
        (7, False), (None, False), (["x"], False), ("a\0", False),
    ],
)  # fmt: skip
def test_the_first_word_of_a_template_names_a_program(word: Any, valid: bool) -> None:
    template = {"name": "t", "argv": [word, "{prompt}"]}
    document = {"id": "a", "flow": EMPTY, "subprocesses": [template]}
    assert VALIDATOR.is_valid(document) is valid
    assert bool(verdict(document)) is valid


@pytest.mark.parametrize("err_at", [None, {"op": "path", "at": "$.why"}])
def test_err_as_needs_err_at(err_at: Any) -> None:
    flow = {"kind": "try", "body": EMPTY, "catch": EMPTY, "err_at": err_at}
    document = {"id": "a", "dialect": "swarm", "flow": flow}
    assert VALIDATOR.is_valid(document)
    flow["err_as"] = "text"
    assert VALIDATOR.is_valid(document) is (err_at is not None)
    hold(document)


@pytest.mark.parametrize("value", [
    "$.a", "PASS", 1, 1.5, True, None, [], [None, ["$.a"]], {}, {"a": None}, {"$a": 1}, {"a": {"$in": 1}},
    {"$step_meta": {"ref": "'m'"}, "$in": "$.a"}, {"object": {"$in": 1}}, {"lit": None}, {"lit": {"$x": 1}},
    {"lit": 1, "a": 2}, {"template": "x {$.a}"}, {"template": 1}, {"object": {"op": 1}}, {"object": []},
    {"op": "and", "args": ["$.a", 1]}, {"op": "and", "args": [None]}, {"op": "not", "arg": None},
    {"op": "object", "entries": {"a": None}}, {"op": "object", "entries": {"$in": 1}}, {"op": "object"},
    {"op": "object", "entries": {}, "x": 1}, {"op": "lit", "value": {"$x": 1}}, {"op": "no"}, {"op": None},
])  # fmt: skip
def test_a_source_of_an_expression_is_taken_by_both_or_by_neither(value: Any) -> None:
    step = {"kind": "step", "agent": "a", "in": value, "out": "$.x"}
    for node in (step, {"kind": "let", "at": "$.x", "value": value}):
        hold({"id": "a", "dialect": "swarm", "flow": node, "agents": [AGENT]})
        hold({"id": "a", "flow": {**node}, "agents": [AGENT]})


@pytest.mark.parametrize("out", ["$.x", "x", 1, None, {"op": "path", "at": "$.x"}, {}])
def test_a_target_is_taken_by_both_or_by_neither(out: Any) -> None:
    step = {"kind": "step", "agent": "a", "in": 1, "out": out}
    hold({"id": "a", "dialect": "swarm", "flow": step, "agents": [AGENT]})


def test_kinds_and_layers_are_closed_sets() -> None:
    step = {"id": "a", "flow": {"kind": "seq", "children": []}}
    agent = {"name": "a", "kind": "pyhton_fn", "spec": {"fn_id": "f"}}
    assert VALIDATOR.is_valid(step)
    assert not VALIDATOR.is_valid({**step, "agents": [agent]})
    assert not VALIDATOR.is_valid({**step, "default_agent_kind": "x"})
    assert not VALIDATOR.is_valid({**step, "spawner_hints": {"layers": ["x"]}})
    mine = jsonschema.Draft202012Validator(json_schema(["pyhton_fn"]))
    assert mine.is_valid({**step, "agents": [agent]})
    argv = {"name": "a", "kind": "subprocess", "spec": {"argv": ["cat", "{prompt}"]}}
    assert VALIDATOR.is_valid({**step, "agents": [argv]})
