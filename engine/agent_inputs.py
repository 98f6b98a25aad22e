"""Check the inputs of agent functions against the annotation of their parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter
from typing import Any, Final, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from engine.agents import AgentFunction, CallRefused, registered
from engine.blueprint.analysis.input_fit import InputForm, Taken
from engine.blueprint.analysis.shapes import TYPES
from engine.blueprint.findings.diagnostics import place_in
from engine.flow.spelling import did_you_mean

SHOWN = 5
_TYPE_OF: Final = {
    **dict.fromkeys(("str", "date", "time", "datetime"), "string"),
    **dict.fromkeys(("int", "float"), "number"),
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), "array"),
    **dict.fromkeys(("dict", "typed-dict", "model-fields", "dataclass-args"), "object"),
    "bool": "boolean",
    "none": "null",
}
Check = Callable[[Any], Any]


class InputRefused(ValueError):
    """An input does not match; the text names the fields and the rules."""


class AnnotationUnusable(TypeError):
    """An annotation can't be used to check inputs; the text names it and the reason."""


@cache
def input_check(agent: AgentFunction) -> Check | None:
    """Return a callable that makes a function's input of a JSON value; None without a type.

    The check is strict: it converts only types that JSON lacks, such as a text to a date.
    For parameters by name it also compares the keys. The callable raises InputRefused,
    this function AnnotationUnusable.
    """
    function, parameters = agent.function, agent.parameters
    named = parameters.keys
    if parameters.whole is not None:
        return _check_of(function, parameters.whole, "$")
    if not named:
        return None
    checks = {
        name: _check_of(function, one, place_in("$", [name]))
        for name, one in named.items()
    }

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            names = ", ".join(named)
            raise InputRefused(f"$: expected an object with the keys {names}")
        faults = [
            f"{place_in('$', [key])}: no parameter has this name; {did_you_mean(key, named)}"
            for key in value
            if key not in named
        ]
        faults += [
            f"{place_in('$', [name])}: the key is missing"
            for name, one in named.items()
            if name not in value and one.default is Parameter.empty
        ]
        if faults:
            raise InputRefused("; ".join(faults[:SHOWN]))
        return {
            key: part if (own := checks[key]) is None else own(part)
            for key, part in value.items()
        }

    return check


def given_to(agent: AgentFunction, name: str, value: Any) -> Any:
    """Return what a function is given for an input; raise CallRefused if it can't be."""
    try:
        check = input_check(agent)
        return value if check is None else check(value)
    except AnnotationUnusable as error:
        raise CallRefused(str(error)) from None
    except InputRefused as error:
        text = f"the input does not fit {name!r}: {error}"
        raise CallRefused(text, "InputRefused") from None


def input_form(agent: AgentFunction) -> InputForm:
    """Return what a function takes, as far as its signature tells."""
    function, parameters = agent.function, agent.parameters
    if parameters.whole is not None:
        return InputForm(_types_of(function, parameters.whole))
    return InputForm(
        keys={
            name: Taken(_types_of(function, one), one.default is Parameter.empty)
            for name, one in parameters.keys.items()
        }
    )


def _types_of(function: Callable[..., Any], parameter: Parameter) -> frozenset[str]:
    """Return the types of JSON that a parameter takes."""
    try:
        adapter = _adapter_of(function, parameter)
        return TYPES if adapter is None else _types_in(adapter.core_schema, {})
    except (AnnotationUnusable, PydanticUserError):
        return TYPES


def _types_in(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> frozenset[str]:
    """Return the types of JSON that a core schema of pydantic accepts, if it is known.

    What runs a function first, such as a BeforeValidator, may accept anything. The JSON
    schema of the same type does not tell.
    """
    match schema:
        case {"type": "definitions", "schema": inner, "definitions": known}:
            return _types_in(inner, {one["ref"]: one for one in known})
        case {"type": "definition-ref", "schema_ref": ref}:
            return _types_in(shared.get(ref, {}), {})
        case {"type": "nullable", "schema": inner}:
            return _types_in(inner, shared) | {"null"}
        case {"type": "union", "choices": choices}:
            # A choice may have a label.
            every = (one[0] if isinstance(one, tuple) else one for one in choices)
            return frozenset().union(*(_types_in(one, shared) for one in every))
        case {
            "type": "default" | "function-after" | "model" | "dataclass",
            "schema": inner,
        }:
            return _types_in(inner, shared)
        case {"type": str(name)} if name in _TYPE_OF:
            return frozenset({_TYPE_OF[name]})
    return TYPES


def input_fault(agent: AgentFunction) -> str:
    """Return why a function's input can't be checked; empty if it can."""
    try:
        input_check(agent)
    except AnnotationUnusable as error:
        return str(error)
    return ""


def function_faults() -> dict[str, str]:
    """Return by name why registered functions can't be called."""
    faults = {name: input_fault(each) for name, each in registered().items()}
    return {name: fault for name, fault in faults.items() if fault}


def _check_of(
    function: Callable[..., Any], parameter: Parameter, place: str
) -> Check | None:
    """Return the check of a parameter's value, which is at a place of the input."""
    adapter = _adapter_of(function, parameter)
    if adapter is None:
        return None

    def check(value: Any) -> Any:
        try:
            # As JSON text: only then does the strict check accept a text as a date.
            return adapter.validate_json(orjson.dumps(value), strict=True)
        except ValidationError as error:
            raise InputRefused(_fault_text(error, place)) from None

    return check


def _adapter_of(
    function: Callable[..., Any], parameter: Parameter
) -> TypeAdapter[Any] | None:
    """Return the adapter of a parameter's type, None if it takes any value."""
    if parameter.annotation in (Parameter.empty, Any, "Any"):
        return None
    try:
        return TypeAdapter(_resolved(function, parameter.annotation))
    except (NameError, TypeError, SyntaxError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise AnnotationUnusable(
            f"the annotation of {parameter.name!r} of {function.__module__}.{name} can't"
            f" be used to check inputs: {reason}"
        ) from None


def _resolved(function: Callable[..., Any], annotation: Any) -> Any:
    def holder() -> None: ...

    # Only this annotation: the others may name types that exist only for mypy.
    holder.__annotations__ = {"input": annotation}
    names = getattr(function, "__globals__", {})
    return get_type_hints(holder, globalns=names, include_extras=True)["input"]


def _fault_text(error: ValidationError, place: str) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    texts = [f"{place_in(place, fault['loc'])}: {fault['msg']}" for fault in faults]
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return "; ".join([*texts[:SHOWN], *more])
