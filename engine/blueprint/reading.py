"""Makes a View of a JSON value: checks JSON, schema version, shape and flow.

No part of the document is run or imported here: its author may be anyone.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from pydantic import ValidationError

from engine.blueprint.analysis.flow_walk import (
    START,
    Spot,
    agents_named_in,
    keys_of,
    path_texts,
    paths_written_in,
    walk_expr,
)
from engine.blueprint.analysis.source_places import SourcePlaces, agent_field
from engine.blueprint.analysis.view import LintOptions, View
from engine.blueprint.findings.diagnostics import (
    BlueprintInvalid,
    Diagnostic,
    Suggestion,
    first_of,
    place_in,
    resolve_place,
)
from engine.blueprint.findings.schema_errors import read_errors
from engine.blueprint.lints import REGISTRY
from engine.blueprint.lints.flow import unknown_agent, unresolved_agent_ref
from engine.blueprint.schema.document import SCHEMA_VERSION, Blueprint
from engine.blueprint.upgrade import older_words
from engine.flow import (
    DIALECTS,
    Dialect,
    FlowError,
    dump_compact,
    find_faults,
    parse_expr,
    parse_node,
)
from engine.flow.json_text import MAX_DEPTH, Json, copy_json, find_fault
from engine.flow.nodes import Seq
from engine.flow.path import read_path

_PARSE_ERROR: Final = re.compile(
    r'parse error at \$((?:[^\s"]|"(?:[^"\\]|\\.)*")*): (.*)', re.DOTALL
)
_MISSING_FIELD: Final = re.compile(r"missing field '.*' of (?:(kind|op) |a )")
_UNKNOWN_FIELD: Final = re.compile(r"""unknown field ('.*'|".*") of """, re.DOTALL)
# A longer text is not repeated in a hint.
_QUOTED: Final = 80
_TEXTS_NEED_DIALECT: Final = (
    'expressions as text belong to the dialect swarm: add "dialect": "swarm" to the'
    " Blueprint"
)
_PATH_ERROR: Final = "invalid path syntax: "
_KEYS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
NOTHING: Final = Seq(())
_LAST_STEP: Final = re.compile(r"(.*)\.([a-z_]+)(?:\[[0-9]+\])?", re.DOTALL)


def read_blueprint(
    document: Json,
    *,
    kinds: Iterable[str] | None = None,
    legacy_bindings: bool = True,
    options: LintOptions | None = None,
) -> View:
    """Return the view of a Blueprint document, whose flow may have faults.

    Raises BlueprintInvalid for a document that is not JSON, that has another schema
    version, or whose shape is invalid; then with the faults of its flow.
    """
    fault = find_fault(document)
    if fault is not None:
        raise BlueprintInvalid(
            [Diagnostic(_nearest_place(document, fault[0]), "not-json", fault[1])]
        )
    # A copy that no caller can change, with the numbers that JSON text would give.
    document = copy_json(document)
    raise_findings(_check_version(document))
    try:
        blueprint = Blueprint.model_validate(document)
    except ValidationError as error:
        found = read_errors(error, Blueprint, "$")
        raise BlueprintInvalid([*found, *_faults_beside(document)]) from None
    root, faults = _read_flow(blueprint)
    places = SourcePlaces(document)
    found = [_moved(one, places) for one in faults]
    return View(
        document,
        blueprint,
        root,
        places,
        faults=(*found, *_check_limits(blueprint)),
        kinds=None if kinds is None else frozenset(kinds),
        legacy_bindings=legacy_bindings,
        options=options or LintOptions(),
        lint_kinds={name: kind.suppressible for name, kind in REGISTRY.items()},
    )


def raise_findings(findings: Iterable[Diagnostic]) -> None:
    """Raise BlueprintInvalid if there is a finding."""
    found = list(findings)
    if found:
        raise BlueprintInvalid(found)


def _nearest_place(document: Json, place: str) -> str:
    """Return the innermost existing place; a key that is not JSON has none."""
    while place != "$":
        try:
            resolve_place(document, place)
        except LookupError:
            place = place[: max(place.rfind("."), place.rfind("["))]
        else:
            return place
    return place


def _check_version(document: Json) -> Iterator[Diagnostic]:
    """Yield a finding for a version that this code can't read.

    Versions are compatible if they have the same major and minor number.
    """
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, str):
        return
    ours = SCHEMA_VERSION.split(".")
    parts = version.split("-")[0].split("+")[0].split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        # The check of the shape reports a text that is not a version.
        return
    if parts[:2] != ours[:2]:
        message = f"schema_version {version!r} can't be read here"
        hint = f"this installation reads {ours[0]}.{ours[1]}.x"
        place, kind = "$.schema_version", "unsupported-schema-version"
        yield Diagnostic(place, kind, message, hint)


def _read_flow(blueprint: Blueprint) -> tuple[Spot, list[Diagnostic]]:
    """Return the root of the flow in its normal form, and the faults of the flow.

    With a fault the flow may be another one.
    """
    try:
        node = parse_node(blueprint.flow, blueprint.dialect)
    except FlowError:
        found = _flow_findings(blueprint.flow, blueprint.dialect)
        return Spot(START, NOTHING.to_json()), found
    root = Spot(START, node.to_json())
    found = []
    if blueprint.dialect == "flow.ir":
        found += first_of(_arrays_for_objects(blueprint.flow, root.node))
    paths = [text for spot in root.walk() for text in path_texts(spot)]
    if not found:
        found += first_of(_long_paths(paths))
    found += _unwritable(root.node, paths, blueprint.dialect, START)
    return root, found


def _faults_beside(document: Json) -> list[Diagnostic]:
    """Return the faults of the flow of a document whose shape is invalid.

    Names of agents that don't exist are among them, if those of all agents can be read.
    """
    if not isinstance(document, dict) or not isinstance(document.get("flow"), dict):
        return []
    flow, dialect = document["flow"], document.get("dialect", DIALECTS[0])
    if dialect not in DIALECTS:
        return []
    found = list(_unknown_agents(document, agents_named_in(flow, agent_field(dialect))))
    try:
        parse_node(flow, dialect)
    except FlowError:
        return [*_flow_findings(flow, dialect), *found]
    return found


def _unknown_agents(
    document: Json, refs: Iterable[tuple[str, str]]
) -> Iterator[Diagnostic]:
    agents, strategy = document.get("agents", []), document.get("strategy", {})
    rows = agents if isinstance(agents, list) else [None]
    named = [row.get("name") if isinstance(row, dict) else None for row in rows]
    names = [name for name in named if isinstance(name, str)]
    if strategy != {} or len(names) < len(rows):
        # The shape of what decides is at fault, or it may allow the name.
        return
    found = (unknown_agent(*ref, names) for ref in refs if ref[1] not in names)
    yield from (
        unresolved_agent_ref.record(o, of_compiler=True) for o in first_of(found)
    )


def _flow_findings(flow: Json, dialect: Dialect) -> list[Diagnostic]:
    """Return the findings about a flow that can't be parsed."""
    found: list[Diagnostic] = []
    older: set[str] = set()
    for fault in find_faults(flow, dialect):
        one = _flow_finding(fault, flow, START)
        # A word of an older dialect is unknown, and the one for it is missing.
        if one.place not in older:
            found.append(one)
        if one.kind == "older-dialect":
            older.add(one.place)
    return list(first_of(found))


def _moved(found: Diagnostic, places: SourcePlaces) -> Diagnostic:
    """Return a finding about a place of the flow with its place in the document."""
    place, offset = places.find(found.place)
    return replace(
        found, place=place, offset=offset if found.offset is None else found.offset
    )


def _long_paths(paths: Iterable[tuple[str, str]]) -> Iterator[Diagnostic]:
    """Yield a finding for each path with more keys than a Ctx has levels."""
    for place, text in paths:
        # A key takes two characters at least.
        if len(text) > 2 * MAX_DEPTH and len(keys_of(text)) > MAX_DEPTH:
            message = f"a path has at most {MAX_DEPTH} keys, got {len(keys_of(text))}"
            hint = f"a Ctx has at most {MAX_DEPTH} containers inside each other"
            yield Diagnostic(place, "invalid-flow", message, hint)


def _check_limits(blueprint: Blueprint) -> Iterator[Diagnostic]:
    per_agent = blueprint.hints.per_agent.items()
    limits = [
        *(
            (place_in("$.hints.per_agent", [name]), own.limit)
            for name, own in per_agent
        ),
        *((f"$.agents[{n}]", one.limit) for n, one in enumerate(blueprint.agents)),
    ]
    for place, limit in limits:
        if limit is not None:
            yield from _check_key(f"{place}.limit.key", limit.key, blueprint.dialect)


def _check_key(place: str, key: Json, dialect: Dialect) -> Iterator[Diagnostic]:
    try:
        expr = parse_expr(key, dialect)
    except FlowError as error:
        yield _flow_finding(error, key, place)
        return
    written = expr.to_json()
    paths = list(paths_written_in(walk_expr(place, written)))
    yield from _long_paths(paths)
    yield from _unwritable(written, paths, dialect, place)


def _flow_finding(error: FlowError, value: Json, start: str) -> Diagnostic:
    found = _PARSE_ERROR.fullmatch(str(error))
    if found is None:
        return Diagnostic(start, "invalid-flow", str(error))
    place = f"{start}{found[1]}"
    message, _, hint = found[2].partition("; ")
    halted = _halt_without_path(value, f"${found[1]}", place)
    if halted is not None:
        return halted
    old = older_words(value, f"${found[1]}")
    if old is not None:
        hint = "`blueprint upgrade FILE` rewrites it"
        return Diagnostic(place, "older-dialect", f"{message} ({old})", hint)
    if error.offset is not None:
        return Diagnostic(place, "invalid-flow", message, hint, offset=error.offset)
    spot = resolve_place(value, f"${found[1]}")
    if isinstance(spot, str) and len(spot) <= _QUOTED:
        hint = hint or _hint_for_text(message, spot)
    # The error text of the language has these words twice.
    message = message.removeprefix(_PATH_ERROR)
    return Diagnostic(place, "invalid-flow", message, hint, key=_key_of(message))


def _key_of(message: str) -> str:
    """Return the key that a finding about an object is shown at, or an empty text."""
    if unknown := _UNKNOWN_FIELD.match(message):
        return str(ast.literal_eval(unknown[1]))
    missing = _MISSING_FIELD.match(message)
    return "" if missing is None else missing[1] or "kind"


def _hint_for_text(message: str, text: str) -> str:
    if message.startswith(_PATH_ERROR) and _KEYS.fullmatch(text):
        return f"did you mean '$.{text}'?"
    if message.startswith("expected an object with 'op'"):
        meant = _tree_of(text)
        if meant is None:
            return _TEXTS_NEED_DIALECT
        return f"write {json.dumps(meant, ensure_ascii=False)}"
    return ""


def _tree_of(text: str) -> Json:
    """Return what a text in the place of an expression means in `flow.ir`, or None."""
    try:
        tree = parse_expr(text, "swarm").to_json()
    except FlowError:
        return {"op": "lit", "value": text}
    try:
        return parse_expr(tree).to_json()
    except FlowError:
        return None


def _unwritable(
    written: Json, paths: Iterable[tuple[str, str]], dialect: Dialect, start: str
) -> Iterator[Diagnostic]:
    """Yield a finding if a worker could not read the stored form of a program.

    In `flow.ir` there are keys that the canonical form of a path can't contain, and
    expressions as text become deeper when they are stored.
    """
    fault = find_fault(written)
    if fault is not None:
        hint = "use fewer levels of nodes and expressions"
        yield Diagnostic(start + fault[0][1:], "invalid-flow", fault[1], hint)
    for place, text in paths if fault is None else ():
        try:
            read_path(text, dialect)
        except FlowError:
            message = 'a key of the path contains both "]" and a quotation mark'
            hint = "such a key can't be written between brackets; rename it"
            yield Diagnostic(place, "invalid-flow", message, hint)
            return


def _halt_without_path(value: Json, inner: str, place: str) -> Diagnostic | None:
    """Return the finding for a gate of the Lua DSL without `halted_at`, else None.

    Such a gate is an assign of a text, without a path, in the `then` arm of a branch.
    """
    if inner.endswith(".at"):
        inner, place = inner.removesuffix(".at"), place.removesuffix(".at")
    last = _LAST_STEP.fullmatch(inner)
    if last is None:
        return None
    node, arm = resolve_place(value, inner), last[2]
    if not isinstance(node, dict) or node.get("kind") not in ("assign", "let"):
        return None
    noted = node.get("value")
    text = noted.get("value") if isinstance(noted, dict) else None
    if arm != "then" or node.get("at") is not None or not isinstance(text, str):
        return None
    return Diagnostic(
        place,
        "halted-at-missing",
        f"the gate notes {text!r} nowhere: its assign has no 'at'",
        "give the pipeline a halted_at path",
        suggestion=Suggestion("in the Lua DSL", 'halted_at = "$.halted_at",'),
    )


def _arrays_for_objects(flow: Json, parsed: Json) -> Iterator[Diagnostic]:
    """Yield a finding for each array that the parser has read as an expression.

    The language reads `[1, x]` as a literal x (a conformance case); the author of a
    Blueprint means the array.
    """
    waiting: list[tuple[str, Json, Json]] = [("$.flow", flow, parsed)]
    while waiting:
        place, was, now = waiting.pop()
        if isinstance(was, list) and isinstance(now, dict):
            hint = f'write {{"op": "lit", "value": {dump_compact(was)}}}'
            message = "expected an object with 'op', got an array"
            yield Diagnostic(place, "invalid-flow", message, hint)
        elif isinstance(was, dict) and isinstance(now, dict):
            if now.get("op") != "lit":
                waiting += [(f"{place}.{key}", was[key], now[key]) for key in was]
        elif isinstance(was, list):
            pairs = enumerate(zip(was, now, strict=True))
            waiting += [(f"{place}[{n}]", a, b) for n, (a, b) in pairs]
