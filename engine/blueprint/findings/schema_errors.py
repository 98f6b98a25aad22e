"""Makes findings of pydantic's errors: place, rule, nearest valid spelling."""

import re
import typing
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.blueprint.findings.diagnostics import MOST, Diagnostic, place_in
from engine.blueprint.schema.strict import FUNCTION_PATH, NAME, Strict
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean, hint_at

_TYPES: Final[Mapping[str, str]] = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
}
_BOUNDS: Final[Mapping[str, str]] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "a string of at least {min_length} character(s)",
    "string_too_long": "a string of at most {max_length} characters",
    "string_pattern_mismatch": "a string that matches {pattern}",
    "too_short": "an array of at least {min_length} item(s)",
}
_IN_WORDS: Final = {
    f"a string that matches {NAME}": "a string of one line without control characters",
    f"a string that matches {FUNCTION_PATH}": "MODULE:FUNCTION, a public function of a"
    " module, such as shop.agents:classify",
}
_LONGEST_SHOWN: Final = 80
_REFERENCES: Final = frozenset({"$file", "$agent_md", "$literal"})


def read_errors(
    error: ValidationError, model: type[Strict], place: str
) -> list[Diagnostic]:
    """Return a finding for each error of a value at `place` that `model` refuses.

    After the first MOST, one more finding has the number of the others.
    """
    faults = error.errors(include_url=False, include_context=True)
    found = [_finding(fault, model, place) for fault in faults[: MOST + 1]]
    if len(found) > MOST:
        last = found.pop()
        message = f"and {len(faults) - MOST} more faults, from here on"
        found.append(replace(last, message=message, help="correct those first"))
    return found


def show(value: Json) -> str:
    """Return the text of a value for an error, and only the type of a container."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _finding(fault: ErrorDetails, model: type[Strict], place: str) -> Diagnostic:
    kind = fault["type"]
    loc, owner = _follow(model, fault["loc"])
    at = place_in(place, loc)
    context: dict[str, Any] = fault.get("ctx", {})
    got = show(fault["input"])
    if kind in ("extra_forbidden", "missing"):
        above, field = place_in(place, loc[:-1]), str(loc[-1])
        if kind == "missing":
            return Diagnostic(above, "missing-field", f"missing field '{field}'")
        hint = owner.NEAR.get(field) or did_you_mean(field, _fields(owner))
        if field in _REFERENCES:
            hint = "references are expanded when a Blueprint is loaded from a file"
        text = f"unknown field '{field}'"
        return Diagnostic(above, "unknown-field", text, hint, key=field)
    if kind in _TYPES:
        return Diagnostic(at, "wrong-type", f"expected {_TYPES[kind]}, got {got}")
    if kind in _BOUNDS:
        bound = _BOUNDS[kind].format(**{k: _plain(v) for k, v in context.items()})
        bound = _IN_WORDS.get(bound, bound)
        what = "a key that is " if fault["loc"][-1:] == ("[key]",) else ""
        return Diagnostic(at, "wrong-value", f"expected {what}{bound}, got {got}")
    if kind == "literal_error":
        return _not_one_of(at, context["expected"], fault["input"])
    if kind.startswith("union_tag"):
        tag = context["discriminator"].strip("'")
        if kind == "union_tag_not_found":
            return Diagnostic(at, "missing-field", f"missing field '{tag}'")
        found = fault["input"][tag]
        return _not_one_of(f"{at}.{tag}", context["expected_tags"], found)
    return Diagnostic(at, "wrong-value", fault["msg"].removeprefix("Value error, "))


def _not_one_of(at: str, expected: str, got: Json) -> Diagnostic:
    expected = expected.replace("True", "true").replace("False", "false")
    words = re.findall(r"'([^']*)'", expected)
    message = f"expected {expected}, got {show(got)}"
    return Diagnostic(at, "wrong-value", message, hint_at(str(got), words))


def _plain(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _follow(
    model: type[Strict], loc: tuple[int | str, ...]
) -> tuple[list[int | str], type[Strict]]:
    """Follow pydantic's location through the models.

    Return the location in the document, which is without the tags of unions, and the
    model that owns its last field.
    """
    kept: list[int | str] = []
    choices: list[Any] = [model]
    owner = model
    for part in loc:
        if part == "[key]":
            break
        models = [one for one in choices if isinstance(one, type)]
        if len(models) > 1:
            choices = [one for one in models if _has_tag(one, part)]
            continue
        kept.append(part)
        containers = [one for one in choices if not isinstance(one, type)]
        if containers:
            choices = _choices(typing.get_args(containers[0])[-1])
        elif models:
            owner = models[0]
            choices = _choices(_fields(owner).get(str(part)))
    return kept, owner


def _choices(annotation: Any) -> list[Any]:
    """Return the models, lists and maps that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (list, dict):
        return [annotation]
    return [one for part in typing.get_args(annotation) for one in _choices(part)]


def _has_tag(model: type[BaseModel], word: int | str) -> bool:
    fields = model.model_fields.values()
    return any(
        typing.get_origin(field.annotation) is Literal
        and word in typing.get_args(field.annotation)
        for field in fields
    )


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {
        field.alias or name: field.annotation
        for name, field in model.model_fields.items()
    }
