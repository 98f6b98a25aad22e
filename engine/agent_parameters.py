"""What the parameters of an agent's function receive: the one rule, decided once.

`step` is optional. One other parameter receives the whole input, several receive the keys
of an object by their names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, TypeAlias

STEP = "step"

Function: TypeAlias = Callable[..., Any]
Call: TypeAlias = Callable[[Any, Any], Any]
"""Takes the input and the step."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a function: `whole` receives the input, or `keys` its keys.

    A function whose signature Python does not know has neither, and is given the input.
    """

    whole: Parameter | None
    keys: Mapping[str, Parameter]
    step: bool


def parameters_of(function: Function) -> Parameters:
    """Return what the parameters of a function receive; import and call nothing."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        # Some functions of C.
        return Parameters(None, {}, step=False)
    kinds = {one.kind for one in parameters.values()}
    others = [one for one in parameters.values() if one.name != STEP]
    named = {
        one.name: one
        for one in others
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    by_name = len(named) > 1
    return Parameters(
        None if by_name else next(iter(others), None),
        named if by_name else {},
        step=STEP in parameters or Parameter.VAR_KEYWORD in kinds,
    )


def call_of(function: Function, parameters: Parameters) -> Call:
    """Return the call of a function with an input and a step."""
    if parameters.keys and parameters.step:
        return lambda value, step: function(**value, step=step)
    if parameters.keys:
        return lambda value, step: function(**value)
    if parameters.step:
        return lambda value, step: function(value, step=step)
    return lambda value, step: function(value)
