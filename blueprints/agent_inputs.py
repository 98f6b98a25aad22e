"""Inputs of agent functions: held against the annotation of the parameter they go to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from engine.blueprint.diagnostics import place_in

SHOWN = 5
Check = Callable[[Any], Any]


class InputRefused(ValueError):
    """An input that does not fit; the text names the fields and the rules."""


class AnnotationUnusable(TypeError):
    """An annotation that inputs can't be held against; the text says which and why."""


def input_check(function: Callable[..., Any]) -> Check | None:
    """Return what turns a JSON value into a function's input, None where it has no type.

    The check is strict: no conversion but those JSON needs, such as a text to a date.
    It raises InputRefused; AnnotationUnusable comes from this call.
    """
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None or first.annotation in (inspect.Parameter.empty, Any, "Any"):
        return None
    try:
        adapter = TypeAdapter(_resolved(function, first.annotation))
    except (NameError, TypeError, SyntaxError, PydanticUserError) as error:
        told = str(error).partition("\n")[0]
        raise AnnotationUnusable(
            f"the annotation of {first.name!r} of {function.__module__}."
            f"{getattr(function, '__qualname__', type(function).__qualname__)} can't be used to check inputs: {told}"
        ) from None

    def check(value: Any) -> Any:
        try:
            # As JSON text: only then a strict check still takes a text for a date.
            return adapter.validate_json(orjson.dumps(value), strict=True)
        except ValidationError as error:
            raise InputRefused(_told(error)) from None

    return check


def _resolved(function: Callable[..., Any], annotation: Any) -> Any:
    def holder() -> None: ...

    # Only the input's own annotation: the others may name what exists for mypy alone.
    holder.__annotations__ = {"input": annotation}
    names = getattr(function, "__globals__", {})
    return get_type_hints(holder, globalns=names, include_extras=True)["input"]


def _told(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{place_in('$', fault['loc'])}: {fault['msg']}" for fault in faults]
    more = [f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return "; ".join([*told[:SHOWN], *more])
