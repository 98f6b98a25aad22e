"""From a JSON value to a View: JSON, schema version, shape and flow, in that order.

Nothing of the document is carried out or imported here: it may come from anyone.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import ValidationError

from engine.blueprint.diagnostics import (
    BlueprintInvalid,
    Diagnostic,
    first_of,
    place_in,
    resolve_place,
)
from engine.blueprint.flow_walk import (
    keys_of,
    path_texts,
    paths_written_in,
    walk_nodes,
)
from engine.blueprint.lints import REGISTRY, halted_at_missing
from engine.blueprint.schema import SCHEMA_VERSION, Blueprint
from engine.blueprint.schema_errors import read_errors
from engine.blueprint.upgrade import older_words
from engine.blueprint.view import LintOptions, View
from engine.flow import (
    Dialect,
    FlowError,
    dump_compact,
    load_json,
    parse_expr,
    parse_node,
)
from engine.flow.json_text import MAX_DEPTH, Json, find_fault

_PARSE_ERROR: Final = re.compile(r"parse error at \$(\S*): (.*)", re.DOTALL)
# A longer text is not repeated in a hint.
_QUOTED: Final = 80
_TWICE: Final = "invalid path syntax: "
_KEYS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_LAST_STEP: Final = re.compile(r"(.*)\.([a-z_]+)(?:\[[0-9]+\])?", re.DOTALL)


def read_blueprint(
    document: Json,
    *,
    kinds: Iterable[str] | None = None,
    legacy_bindings: bool = True,
    options: LintOptions | None = None,
) -> View:
    """Returns the view of a Blueprint document.

    Raises BlueprintInvalid with every finding of the first stage that has any.
    """
    fault = find_fault(document)
    if fault is not None:
        raise BlueprintInvalid(
            [Diagnostic(_found(document, fault[0]), "not-json", fault[1])]
        )
    # A copy that nobody else holds, with the numbers that JSON text would give.
    document = load_json(dump_compact(document))
    refuse(_check_version(document))
    try:
        blueprint = Blueprint.model_validate(document)
    except ValidationError as error:
        raise BlueprintInvalid(read_errors(error, Blueprint, "$")) from None
    refuse([*_check_flow(blueprint), *_check_limits(blueprint)])
    return View(
        document,
        blueprint,
        kinds=None if kinds is None else frozenset(kinds),
        legacy_bindings=legacy_bindings,
        options=options or LintOptions(),
        lint_kinds={name: kind.suppressible for name, kind in REGISTRY.items()},
    )


def refuse(findings: Iterable[Diagnostic]) -> None:
    """Raises BlueprintInvalid if there is any finding."""
    found = list(findings)
    if found:
        raise BlueprintInvalid(found)


def _found(document: Json, place: str) -> str:
    """Returns the nearest place that exists; keys that are no JSON have none."""
    while place != "$":
        try:
            resolve_place(document, place)
        except LookupError:
            place = place[: max(place.rfind("."), place.rfind("["))]
        else:
            return place
    return place


def _check_version(document: Json) -> Iterator[Diagnostic]:
    """Yields a finding for a version that this code can't read.

    Versions of one minor are compatible as long as there is no major.
    """
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, str):
        return
    ours = SCHEMA_VERSION.split(".")
    parts = version.split("-")[0].split("+")[0].split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        # No version at all is a matter of shape.
        return
    if parts[:2] != ours[:2]:
        message = f"schema_version {version!r} can't be read here"
        hint = f"this installation reads {ours[0]}.{ours[1]}.x"
        place, kind = "$.schema_version", "unsupported-schema-version"
        yield Diagnostic(place, kind, message, hint)


def _check_flow(blueprint: Blueprint) -> Iterator[Diagnostic]:
    try:
        node = parse_node(blueprint.flow, blueprint.dialect)
    except FlowError as error:
        yield _flow_finding(error, blueprint.flow, "$.flow")
        return
    written = node.to_json()
    arrays = list(first_of(_arrays_for_objects(blueprint.flow, written)))
    yield from arrays
    if not arrays:
        texts = (
            text for spot in walk_nodes(blueprint.flow) for text in path_texts(spot)
        )
        yield from first_of(_long_paths(texts))
    try:
        parse_node(written, blueprint.dialect)
    except FlowError as error:
        yield _unwritable(error, "$.flow")


def _long_paths(paths: Iterable[tuple[str, str]]) -> Iterator[Diagnostic]:
    """Yields the places of paths that lead deeper than any Ctx does."""
    for place, text in paths:
        # A key takes two characters at least.
        if len(text) > 2 * MAX_DEPTH and len(keys_of(text)) > MAX_DEPTH:
            message = f"a path has at most {MAX_DEPTH} keys, got {len(keys_of(text))}"
            hint = f"a Ctx has at most {MAX_DEPTH} containers inside each other"
            yield Diagnostic(place, "invalid-flow", message, hint)


def _check_limits(blueprint: Blueprint) -> Iterator[Diagnostic]:
    for name, hints in blueprint.hints.per_agent.items():
        if hints.limit is not None:
            yield from _check_key(name, hints.limit.key, blueprint.dialect)


def _check_key(name: str, key: Json, dialect: Dialect) -> Iterator[Diagnostic]:
    place = place_in("$.hints.per_agent", [name, "limit", "key"])
    try:
        expr = parse_expr(key, dialect)
    except FlowError as error:
        yield _flow_finding(error, key, place)
        return
    written = expr.to_json()
    yield from _long_paths(paths_written_in(place, written))
    try:
        parse_expr(written, dialect)
    except FlowError as error:
        yield _unwritable(error, place)


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
        hint = "`manage.py blueprint upgrade FILE` rewrites it"
        return Diagnostic(place, "older-dialect", f"{message} ({old})", hint)
    spot = resolve_place(value, f"${found[1]}")
    if isinstance(spot, str) and len(spot) <= _QUOTED:
        hint = hint or _hint_for_text(message, spot)
    # The language's own text has the words twice.
    message = message.removeprefix(_TWICE)
    return Diagnostic(place, "invalid-flow", message, hint)


def _hint_for_text(message: str, text: str) -> str:
    if message.startswith(_TWICE) and _KEYS.fullmatch(text):
        return f"did you mean '$.{text}'?"
    if message.startswith("expected an object with 'op'"):
        path = text == "$" or text.startswith(("$.", "$["))
        meant = {"op": "path", "at": text} if path else {"op": "lit", "value": text}
        return f"write {json.dumps(meant, ensure_ascii=False)}"
    return ""


def _unwritable(error: FlowError, start: str) -> Diagnostic:
    """Returns the finding for a path that is read, and can't be read as it is written.

    Programs are stored as they are written, so no worker could load this one.
    """
    found = _PARSE_ERROR.fullmatch(str(error))
    place = f"{start}{found[1]}" if found else start
    message = 'a key of the path holds both "]" and a quotation mark'
    hint = "such a key can't be written between brackets; rename it"
    return Diagnostic(place, "invalid-flow", message, hint)


def _halt_without_path(value: Json, inner: str, place: str) -> Diagnostic | None:
    if inner.endswith(".at"):
        inner, place = inner.removesuffix(".at"), place.removesuffix(".at")
    last = _LAST_STEP.fullmatch(inner)
    if last is None:
        return None
    return halted_at_missing.explain(resolve_place(value, inner), place, last[2])


def _arrays_for_objects(flow: Json, parsed: Json) -> Iterator[Diagnostic]:
    """Yields the places where the flow has an array and its program an expression.

    The language reads `[1, x]` as a literal x (a conformance case); who writes it in a
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
