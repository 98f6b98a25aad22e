"""What agent functions take and give by their annotations, and the check of inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from inspect import Parameter
from typing import Any, Final, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from engine.agents import AgentFunction, CallRefused, registered
from engine.blueprint.analysis.shapes import TYPES
from engine.blueprint.analysis.signatures import Signature, Taken
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
UNUSABLE: Final = (NameError, TypeError, SyntaxError, PydanticUserError)
"""The errors of annotations that can't be used."""
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


def signature_of(agent: AgentFunction) -> Signature:
    """Return what a function takes and gives, as far as its signature tells."""
    function, parameters = agent.function, agent.parameters
    whole, gives = parameters.whole, _types_given(function)
    return Signature(
        TYPES if whole is None else _types_of(function, whole.annotation),
        {
            name: Taken(
                _types_of(function, one.annotation), one.default is Parameter.empty
            )
            for name, one in parameters.keys.items()
        },
        gives,
        has_parts=parameters.step,
    )


def _types_given(function: Callable[..., Any]) -> frozenset[str]:
    """Return the types of JSON that a function gives."""
    try:
        annotation = inspect.signature(function).return_annotation
    except ValueError:
        return TYPES
    return _types_of(function, annotation, is_result=True)


def _types_of(
    function: Callable[..., Any], annotation: Any, *, is_result: bool = False
) -> frozenset[str]:
    """Return the types of JSON of an annotation."""
    try:
        adapter = _adapter_of(function, annotation)
        # The schema of an annotation with names that are not yet known raises.
        schema = {} if adapter is None else adapter.core_schema
    except UNUSABLE:
        return TYPES
    return _types_in(schema, {}, is_result)


def _types_in(
    schema: Mapping[str, Any], shared: Mapping[str, Any], is_result: bool
) -> frozenset[str]:
    """Return the types of JSON that a core schema of pydantic accepts, if it is known.

    What runs a function first, such as a BeforeValidator, may accept anything. The JSON
    schema of the same type does not tell.
    """
    inside = partial(_types_in, shared=shared, is_result=is_result)
    match schema:
        case {"type": "definitions", "schema": inner, "definitions": known}:
            return inside(inner, shared={one["ref"]: one for one in known})
        case {"type": "definition-ref", "schema_ref": ref}:
            return inside(shared.get(ref, {}), shared={})
        case {"type": "nullable", "schema": inner}:
            return inside(inner) | {"null"}
        case {"type": "union", "choices": choices}:
            # A choice may have a label.
            every = (one[0] if isinstance(one, tuple) else one for one in choices)
            return frozenset().union(*map(inside, every))
        case {"type": "model" | "dataclass"} if is_result:
            # A result such as AgentResult stands for the value in it.
            return TYPES
        case {
            "type": "default" | "function-after" | "model" | "dataclass",
            "schema": inner,
        }:
            return inside(inner)
        case {"type": "literal", "expected": words} if set(map(type, words)) == {str}:
            return frozenset({"string"})
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
    try:
        adapter = _adapter_of(function, parameter.annotation)
    except UNUSABLE as error:
        reason = str(error).partition("\n")[0]
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise AnnotationUnusable(
            f"the annotation of {parameter.name!r} of {function.__module__}.{name} can't"
            f" be used to check inputs: {reason}"
        ) from None
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
    function: Callable[..., Any], annotation: Any
) -> TypeAdapter[Any] | None:
    """Return the adapter of an annotation, None if any value has it; raise UNUSABLE."""
    if annotation in (Parameter.empty, Any, "Any"):
        return None
    return TypeAdapter(_resolved(function, annotation))


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
