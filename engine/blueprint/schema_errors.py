"""Puts pydantic's findings into our words: place, rule, nearest valid spelling."""

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.blueprint.diagnostics import MOST, Diagnostic, place_in
from engine.blueprint.strict import NAME
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
    f"a string that matches {NAME}": "a string of one line without control characters"
}
_LONGEST_SHOWN: Final = 80
_MOST_COMPARED: Final = 500
_MOST_LISTED: Final = 30
_REFERENCES: Final = frozenset({"$file", "$agent_md", "$literal"})


def read_errors(
    error: ValidationError, model: type[BaseModel], place: str
) -> list[Diagnostic]:
    """Returns a finding for each fault of a value at `place` that `model` refused.

    Of very many, the first MOST and how many more there are.
    """
    faults = error.errors(include_url=False, include_context=True)
    found = [_finding(fault, model, place) for fault in faults[: MOST + 1]]
    if len(found) > MOST:
        last = found.pop()
        message = f"and {len(faults) - MOST} more faults, from here on"
        found.append(replace(last, message=message, help="mend those first"))
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns `did you mean 'x'?`, the list of what is known, or nothing."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices[:_MOST_COMPARED], n=1)
    # Who leaves the end of a name out has written little of it.
    near = near or [one for one in choices if one.startswith(f"{word}_")]
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {listed(choices)}" if choices else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns the one of several words that is most like a word; never raises."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices[:_MOST_COMPARED], n=1, cutoff=0.0)
    return near[0] if near else word


def listed(names: Iterable[str]) -> str:
    """Returns names as a text, only the first of very many; `none` without any."""
    every = list(names)
    more = len(every) - _MOST_LISTED
    text = ", ".join(every[:_MOST_LISTED]) or "none"
    return f"{text} and {more} more" if more > 0 else text


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
    kind = fault["type"]
    loc, owner = _follow(model, fault["loc"])
    at = place_in(place, loc)
    context: dict[str, Any] = fault.get("ctx", {})
    got = show(fault["input"])
    if kind in ("extra_forbidden", "missing"):
        above, field = place_in(place, loc[:-1]), str(loc[-1])
        if kind == "missing":
            return Diagnostic(above, "missing-field", f"missing field '{field}'")
        hint = did_you_mean(field, _fields(owner))
        if field in _REFERENCES:
            hint = "references are expanded when a Blueprint is loaded from a file"
        return Diagnostic(above, "unknown-field", f"unknown field '{field}'", hint)
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
    near = difflib.get_close_matches(str(got), words, n=1)
    hint = f"did you mean '{near[0]}'?" if near else ""
    message = f"expected {expected}, got {show(got)}"
    return Diagnostic(at, "wrong-value", message, hint)


def _plain(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _follow(
    model: type[BaseModel], loc: tuple[int | str, ...]
) -> tuple[list[int | str], type[BaseModel]]:
    """Follows pydantic's location through the models.

    Returns the same location as it is in the document, where the tags of unions don't
    stand, and the model that owns its last field.
    """
    kept: list[int | str] = []
    annotation: Any = model
    owner = model
    for part in loc:
        if part == "[key]":
            break
        tagged = _tagged(annotation)
        if part in tagged:
            annotation = tagged[str(part)]
            continue
        kept.append(part)
        inner = _model_in(annotation)
        if inner is not None and not isinstance(part, int) and not _is_map(annotation):
            owner = inner
            annotation = _fields(inner).get(part)
        else:
            annotation = _element_of(annotation)
    return kept, owner


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {
        field.alias or name: typing.Annotated[field.annotation, field]
        for name, field in model.model_fields.items()
    }


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Returns the one model of an annotation, not one inside a list or a map."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (list, dict):
        return None
    inner = (_model_in(part) for part in typing.get_args(annotation))
    return next((model for model in inner if model is not None), None)


def _tagged(annotation: Any) -> dict[str, type[BaseModel]]:
    """Returns the models of a union by the value of their tag."""
    args = typing.get_args(annotation)
    found: dict[str, type[BaseModel]] = {}
    for part in args:
        tag = getattr(part, "discriminator", None)
        if isinstance(tag, str):
            for model in _models_in(args[0]):
                for word in typing.get_args(model.model_fields[tag].annotation):
                    found[word] = model
        elif typing.get_origin(annotation) not in (list, dict):
            found.update(_tagged(part))
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in typing.get_args(annotation) for m in _models_in(part)]


def _element_of(annotation: Any) -> Any:
    """Returns what a list or a map inside an annotation holds."""
    if typing.get_origin(annotation) in (list, dict):
        return typing.get_args(annotation)[-1]
    inner = (_element_of(part) for part in typing.get_args(annotation))
    return next((part for part in inner if part is not None), None)


def _is_map(annotation: Any) -> bool:
    if typing.get_origin(annotation) is dict:
        return True
    return any(_is_map(part) for part in typing.get_args(annotation))
