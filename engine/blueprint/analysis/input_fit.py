"""Whether what a step gives can be what its agent's code takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.blueprint.analysis.flow_walk import Keys
from engine.blueprint.analysis.shapes import TYPES, Shape, part_of, types_text
from engine.flow.spelling import did_you_mean, listed, near


@dataclass(frozen=True, slots=True)
class Taken:
    """A key that code takes: the types of its value, and whether it has to be there."""

    types: frozenset[str] = TYPES
    required: bool = True


@dataclass(frozen=True, slots=True)
class InputForm:
    """What an agent's code takes: an object of `keys`, or without them any of `types`."""

    types: frozenset[str] = TYPES
    keys: Mapping[str, Taken] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A difference between an input and what code takes, at a key or of the whole."""

    keys: Keys
    message: str
    help: str = ""


def find_misfits(form: InputForm, given: Shape) -> Iterator[Misfit]:
    """Yield what no input of a shape can fit; an input that is not known fits."""
    if not form.keys:
        if given.types.isdisjoint(form.types):
            message = f"takes {_types(form.types)}, and gets {types_text(given)}"
            hint = "its only parameter gets the whole input, not the keys of it"
            yield Misfit((), message, hint if given.types == {"object"} else "")
        return
    if "object" not in given.types:
        message = f"takes an object, and gets {types_text(given)}"
        yield Misfit((), message, f"its keys: {listed(form.keys)}")
        return
    unknown = [key for key in given.keys if key not in form.keys]
    meant = {near(key, form.keys) for key in unknown}
    for key in unknown:
        hint = did_you_mean(key, form.keys)
        yield Misfit((key,), f"has no parameter {key!r}", hint)
    for key, taken in form.keys.items():
        part = part_of(given, key)
        if not part.types and taken.required and key not in meant:
            hint = f"it has the parameters {listed(form.keys)}"
            yield Misfit((), f"needs the key {key!r}, which is missing", hint)
        elif part.types and part.types.isdisjoint(taken.types):
            types = f"{_types(taken.types)} as {key!r}, and gets {types_text(part)}"
            yield Misfit((key,), f"takes {types}")


def _types(types: frozenset[str]) -> str:
    return types_text(Shape(types, {}))
