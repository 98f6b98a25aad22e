"""What agents' code takes and gives, and whether the input of a step can fit it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.blueprint.analysis.flow_walk import Keys
from engine.blueprint.analysis.shapes import (
    ANY,
    ANY_OBJECT,
    TYPES,
    Shape,
    either,
    of_types,
    open_object,
    part_of,
    shape_of_value,
    types_text,
)
from engine.blueprint.schema.agents import VerdictContract
from engine.flow import JsonTextError, load_json
from engine.flow.spelling import did_you_mean, listed, near


@dataclass(frozen=True, slots=True)
class Taken:
    """A key that code takes: the types of its value, and whether it has to be there."""

    types: frozenset[str] = TYPES
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """What an agent's code takes and gives.

    It takes an object of `keys`, or without them any of `types`. It gives any of `gives`,
    and named parts beside it if it `has_parts`.
    """

    types: frozenset[str] = TYPES
    keys: Mapping[str, Taken] = field(default_factory=dict)
    gives: frozenset[str] = TYPES
    has_parts: bool = True


@dataclass(frozen=True, slots=True)
class Misfit:
    """A difference between an input and what code takes, at a key or of the whole."""

    keys: Keys
    message: str
    help: str = ""


def find_misfits(form: Signature, given: Shape) -> Iterator[Misfit]:
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


def answer_shape(contract: VerdictContract | None, code: Signature) -> Shape:
    """Return the shape of an agent's answer, by its contract and its code."""
    if contract is not None and contract.channel == "part":
        verdict = _words(contract)
        return open_object({"out": ANY, "parts": open_object({"verdict": verdict})})
    if contract is not None:
        words = _words(contract)
        # Code that contradicts its contract may give anything.
        return ANY if words.types.isdisjoint(code.gives) else words
    answer = of_types(code.gives)
    if answer is ANY or not code.has_parts:
        return answer
    # Named parts make an object of the answer.
    return either(answer, open_object({"out": answer, "parts": ANY_OBJECT}))


def _words(contract: VerdictContract) -> Shape:
    """Return the shape of a verdict: `true` may be the word or the value."""
    return either(*map(_word, contract.values))


def _word(text: str) -> Shape:
    try:
        return either(shape_of_value(text), shape_of_value(load_json(text)))
    except JsonTextError:
        return shape_of_value(text)


def _types(types: frozenset[str]) -> str:
    return types_text(Shape(types, {}))
