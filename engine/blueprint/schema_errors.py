"""Puts pydantic's findings into our words: place, rule, nearest valid spelling."""

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.blueprint.diagnostics import Diagnostic, place_in
from engine.flow.json_text import Json

_TYPES: Final[Mapping[str, str]] = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
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
}
_LONGEST_SHOWN: Final = 80


def read_errors(
    error: ValidationError, model: type[BaseModel], place: str
) -> list[Diagnostic]:
    """Returns a finding for each fault of a value at `place` that `model` refused."""
    return [
        _finding(fault, model, place)
        for fault in error.errors(include_url=False, include_context=True)
    ]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `did you mean 'x'?`, the list of what is known, or nothing."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(choices)}" if choices else ""


def show(value: Json) -> str:
    """Returns a value as a reader of an error wants it: containers by sort only."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _finding(fault: ErrorDetails, model: type[BaseModel], place: str) -> Diagnostic:
    kind, loc = fault["type"], fault["loc"]
    at = place_in(place, loc)
    context: dict[str, Any] = fault.get("ctx", {})
    got = show(fault["input"])
    if kind in ("extra_forbidden", "missing"):
        owner, field = place_in(place, loc[:-1]), str(loc[-1])
        fields = _fields_at(model, loc[:-1])
        if kind == "extra_forbidden":
            hint = did_you_mean(field, fields)
            return Diagnostic(owner, "unknown-field", f"unknown field '{field}'", hint)
        return Diagnostic(owner, "missing-field", f"missing field '{field}'")
    if kind in _TYPES:
        return Diagnostic(at, "wrong-type", f"expected {_TYPES[kind]}, got {got}")
    if kind in _BOUNDS:
        bound = _BOUNDS[kind].format(**{k: _plain(v) for k, v in context.items()})
        return Diagnostic(at, "wrong-value", f"expected {bound}, got {got}")
    if kind == "literal_error":
        expected = context["expected"].replace("True", "true").replace("False", "false")
        words = re.findall(r"'([^']*)'", expected)
        near = difflib.get_close_matches(str(fault["input"]), words, n=1)
        hint = f"did you mean '{near[0]}'?" if near else ""
        return Diagnostic(at, "wrong-value", f"expected {expected}, got {got}", hint)
    return Diagnostic(at, "wrong-value", fault["msg"].removeprefix("Value error, "))


def _plain(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Follows a place through the models; parts that are keys of a map are skipped."""
    owner, is_key = model, False
    for part in loc:
        if is_key or isinstance(part, int):
            is_key = False
            continue
        annotation = _fields(owner)[part]
        owner = _model_in(annotation) or owner
        is_key = _is_map(annotation)
    return list(_fields(owner))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    found = model.model_fields.items()
    return {field.alias or name: field.annotation for name, field in found}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(part) for part in typing.get_args(annotation))
    return next((model for model in inner if model is not None), None)


def _is_map(annotation: Any) -> bool:
    parts = (annotation, *typing.get_args(annotation))
    return any(typing.get_origin(part) is dict for part in parts)
