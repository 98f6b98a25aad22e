"""No field of a Blueprint is ignored silently.

The fields are those of the models. Each one stands in the documents of this test, and
wherever it stands, to change it or to drop it changes what is told (a finding), what is
carried out (the part of the program that the code of the workers reads), or what is shown
to people; or else the lint of what has no effect yet names it there.
"""

import ast
import json
import typing
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from blueprints.authoring.explain import for_people
from blueprints.conf import spawner_class, spawner_kinds
from engine.blueprint import BlueprintInvalid, compile_blueprint, lint_blueprint
from engine.blueprint.kinds.registry import KINDS
from engine.blueprint.lints.not_in_effect_yet import IN_STEPS, ROWS, not_in_effect_yet
from engine.blueprint.program import Agent, Program
from engine.blueprint.schema.document import Blueprint
from engine.blueprint.schema.subprocess_template import TemplateSpec

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "cases" / "blueprints" / not_in_effect_yet.name
OURS = Path(__file__).parent / "whole_schema"
# What the loaders read and take away, before there is a complete document.
LOADED = {"blueprint_ref_includes"}
# What is no other value of a field, but none at all.
REFUSED = {
    "unknown-field",
    "missing-field",
    "wrong-type",
    "wrong-value",
    "unsupported-schema-version",
    "invalid-agent-spec",
}
# `spec` is of another model for each kind.
SPECS = [*(rules.spec for rules in KINDS.values()), TemplateSpec]
# What makes programs says nothing of what is read of them.
MAKES = ("blueprints.authoring", "blueprints.loaders", "blueprints.preflight")
CARRIES_OUT = ("engine.run", "engine.store", "workers", "blueprints")


def fields_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Yield the place of every field, `[]` for each of a list and `{}` of a map."""
    for name, field in model.model_fields.items():
        at = f"{place}.{field.alias or name}".removeprefix(".")
        yield at
        for spec in SPECS if at == "agents[].spec" else ():
            yield from fields_of(spec, at)
        for mark, below in models_in(field.annotation):
            yield from fields_of(below, at + mark)


def models_in(annotation: Any, mark: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the models inside an annotation, with the marks of lists and maps."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield mark, annotation
    inner = {list: "[]", dict: "{}"}.get(typing.get_origin(annotation) or object, "")
    for part in typing.get_args(annotation):
        yield from models_in(part, mark + inner)


PLACES = frozenset(fields_of(Blueprint))
NAMES = {place.rpartition(".")[2] for place in PLACES}


def words_in(annotation: Any) -> Iterator[Any]:
    """Yield the words of the closed sets inside an annotation."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    for part in typing.get_args(annotation):
        yield from words_in(part)


def words_of(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Yield every field's name with each word of its closed set."""
    for name, field in model.model_fields.items():
        yield from ((name, word) for word in words_in(field.annotation))
        for _, below in models_in(field.annotation):
            yield from words_of(below)


WORDS = {pair for model in (Blueprint, *SPECS) for pair in words_of(model)}


@dataclass
class Code:
    """What a module imports, which attributes of which names it reads, and its texts."""

    imports: set[str]
    attributes: set[tuple[str, str]]
    texts: set[str]


@cache
def code_of(module: str) -> Code | None:
    """Read a module of ours that carries programs out; None for any other."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        path = path.with_suffix("") / "__init__.py"
    skipped = module.startswith(MAKES) or not module.startswith(CARRIES_OUT)
    if skipped or not path.is_file():
        return None
    code = Code(set(), set(), set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            code.imports |= {node.module}
            code.imports |= {f"{node.module}.{one.name}" for one in node.names}
        elif path.name == "__init__.py":
            continue
        elif isinstance(node, ast.Attribute):
            owner = node.value
            name = getattr(owner, "id", getattr(owner, "attr", ""))
            code.attributes.add((name, node.attr))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            code.texts.add(node.value)
    return code


def imported(module: str, seen: dict[str, Code]) -> None:
    """Add a module of ours and all that it imports."""
    code = None if module in seen else code_of(module)
    if code is not None:
        seen[module] = code
        for one in code.imports:
            imported(one, seen)


@cache
def code_reads(kind: str) -> tuple[set[str], set[str], set[str]]:
    """Return what is read where an agent of a kind works.

    The attributes of agents, those of programs, and the texts that code holds.
    """
    modules: dict[str, Code] = {}
    for module in ("workers.tasks", "workers.runs.launch", "workers.fleet.fleet"):
        imported(module, modules)
    if kind in spawner_kinds():
        imported(spawner_class(kind).__module__, modules)
    attributes: dict[str, set[str]] = {"agent": set(), "program": set()}
    texts: set[str] = set()
    for code in modules.values():
        texts |= code.texts
        for name, attribute in code.attributes:
            attributes.get(name, set()).add(attribute)
    # A program's flow is parsed of two of its fields.
    assert "flow" in attributes["program"]
    attributes["program"] |= {"flow_json", "dialect"}
    return attributes["agent"], attributes["program"], texts


def read_only(value: Any, texts: set[str]) -> Any:
    """Return a part of a program without the fields whose names no code has."""
    if isinstance(value, dict):
        kept = {key for key in value if key not in NAMES or key in texts}
        return {key: read_only(value[key], texts) for key in kept}
    if isinstance(value, list):
        return [read_only(one, texts) for one in value]
    return value


def carried(program: Program) -> str:
    """Return what of a program is carried out."""
    parts = []
    for agent in program.agents.values():
        read, _, texts = code_reads(agent.kind)
        own = [getattr(agent, one.name) for one in fields(Agent) if one.name in read]
        parts.append([read_only(one, texts) for one in own])
    _, read, _ = code_reads("")
    names = [one.name for one in fields(Program) if one.name in read - {"agents"}]
    parts.append([getattr(program, name) for name in names])
    return json.dumps(parts, default=repr, sort_keys=True)


def effects(document: Any) -> tuple[list[str], str, Any] | None:
    """Return what is found, carried out and shown of a document; None if refused."""
    report = lint_blueprint(document)
    lines = [f"{one.level} {one}" for one in report.diagnostics]
    try:
        program = compile_blueprint(document)
    except BlueprintInvalid as error:
        refused = any(one.kind in REFUSED for one in error.diagnostics)
        return None if refused else (lines, "", None)
    return lines, carried(program), for_people(document)


def spots(value: Any, keys: tuple[Any, ...] = (), place: str = "") -> Iterator[Any]:
    """Yield keys, place in the document and place in the schema of every field."""
    for key in value if isinstance(value, dict) else range(len(value)):
        at = f"{place}[]" if isinstance(key, int) else f"{place}.{key}".lstrip(".")
        if f"{place}{{}}" in {one[: len(place) + 2] for one in PLACES}:
            at = f"{place}{{}}"
        if at in PLACES:
            yield (*keys, key), at
        if isinstance(value[key], dict | list):
            yield from spots(value[key], (*keys, key), at)


def others(value: Any, name: Any) -> Iterator[Any]:
    """Yield values of the same type as another."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2)
    elif isinstance(value, str):
        yield from (f"{value}x", f"{value}/x")
        yield from (word for field, word in WORDS if field == name and word != value)
    elif isinstance(value, list) and value:
        yield from (value[:-1], [*value, value[-1]])
    elif isinstance(value, dict):
        yield {**value, "another": "x"}


def dropped(document: Any, keys: tuple[Any, ...]) -> Any:
    """Return the document without what stands at a place."""
    *above, last = keys
    copy = deepcopy(document)
    del at(copy, above)[last]
    return copy


def changed(document: Any, keys: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the document with another value at a place."""
    *above, last = keys
    for other in others(at(document, keys), last):
        copy = deepcopy(document)
        at(copy, above)[last] = other
        yield copy


def at(document: Any, keys: Any) -> Any:
    """Return what stands at a place."""
    for key in keys:
        document = document[key]
    return document


def written(keys: tuple[Any, ...]) -> str:
    """Return a place as findings write it."""
    return "$" + "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in keys)


DOCUMENTS = {
    path.stem: json.loads(path.read_text())
    for path in sorted([*CASES.glob("*.json"), *OURS.glob("*.json")])
    if not path.stem.endswith((".expected", "-allowed"))
}


def test_the_documents_have_every_field_of_the_schema() -> None:
    found = {place for one in DOCUMENTS.values() for _, place in spots(one)}
    assert PLACES - found - LOADED == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_field_has_an_effect_or_is_reported_to_have_none(name: str) -> None:
    document = DOCUMENTS[name]
    before = effects(document)
    report = lint_blueprint(document)
    everything = [*report.diagnostics, *(one.diagnostic for one in report.suppressed)]
    in_vain = [one.place for one in everything if one.kind == not_in_effect_yet.name]
    ignored = []
    for keys, _ in spots(document):
        place = written(keys)
        if empty(at(document, keys)):
            continue
        if any(lies_in(place, one) or lies_in(one, place) for one in in_vain):
            continue
        if not has_effect(document, keys, before):
            ignored.append(place)
    assert ignored == []


def has_effect(document: Any, keys: tuple[Any, ...], before: Any) -> bool:
    """Return whether another value at a place, or none, changes anything."""
    alike = 0
    for one in map(effects, changed(document, keys)):
        if one is not None and one != before:
            return True
        alike += one is not None
    # What can have no other value has nothing to say.
    return not alike or (effects(dropped(document, keys)) or before) != before


def empty(value: Any) -> bool:
    """Return whether a value is empty."""
    if isinstance(value, dict):
        return all(map(empty, value.values()))
    return value is None or value in ("", [])


def lies_in(place: str, other: str) -> bool:
    """Return whether a place is another one or below it."""
    return place == other or place.startswith((f"{other}.", f"{other}["))


def test_each_row_of_the_table_names_fields_that_exist() -> None:
    for row in ROWS:
        for place in row.at:
            assert place in PLACES | {"agents[]", "runners[]", IN_STEPS}, place
