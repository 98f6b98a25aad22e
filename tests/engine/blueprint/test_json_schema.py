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
WHOLE = re.compile(
    r"the name .* is taken|can't be held to the tool|no template is named"
)
BEYOND = re.compile(
    r"not-json|placeholder|argv\[0\] must|cap_s must|path|too long|keys|older|dialect"
    r"|schema_version .* can't be read|expected an object with 'op', got an array"
    r"|at most [0-9]+ keys|an integer, got [0-9.e+]+$"
)


def verdict(document: Any) -> bool | None:
    """Tell whether the compiler's shape takes a document; None where none can say."""
    try:
        found = [
            one
            for one in find_errors(read_blueprint(document))
            if one.kind in OF_SHAPE and not WHOLE.search(one.message)
        ]
    except BlueprintInvalid as error:
        found = list(error.diagnostics)
    if found and all(BEYOND.search(f"{one} {one.kind}") for one in found):
        return None
    return not found


def spec_of_a_named_runner(document: Any) -> bool:
    """Tell whether a child process has no spec, which its runner may give it."""
    agents = document.get("agents") if isinstance(document, dict) else None
    return any(
        isinstance(one, dict) and not one.get("spec") and not one.get("runner")
        for one in (agents if isinstance(agents, list) else [])
    )


def hold(document: Any) -> None:
    """Hold the schema's verdict against the shape's."""
    wanted = verdict(document)
    if wanted is None or (not wanted and spec_of_a_named_runner(document)):
        return
    errors = [
        f"{one.json_path}: {one.message[:200]}"
        for one in VALIDATOR.iter_errors(document)
    ]
    assert (not errors) is wanted, errors or "the schema takes what the shape refuses"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_a_document_is_taken_by_both_or_by_neither(path: Path) -> None:
    document = json.loads(path.read_text())
    hold(document)
    if verdict(document) is False:
        assert not VALIDATOR.is_valid(document) or spec_of_a_named_runner(document)


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
