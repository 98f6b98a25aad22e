"""What the Ctx can have at each node of a flow, and what its expressions can give.

One pass over the flow, in the interpreter's order. What a loop's body writes may be
anything when a round begins, and is what the body gives when the `cond` is asked.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine.blueprint.analysis.flow_walk import (
    BINDING,
    Keys,
    PathRead,
    Spot,
    keys_of,
    lasting_writes,
    paths_in,
    walk_expr,
)
from engine.blueprint.analysis.shapes import (
    ANY,
    ANY_OBJECT,
    NOTHING,
    Shape,
    array_of,
    at_path,
    either,
    object_of,
    of_type,
    part_of,
    shape_of_value,
    with_part,
)
from engine.flow.functions import FUNCTIONS
from engine.flow.grammar import COLLECTING
from engine.flow.json_text import Json
from engine.flow.spelling import MOST_SEARCHED, slip_of

Changes: TypeAlias = Mapping[str, Shape]

# What the operators give that are neither functions nor cases of their own.
_GIVES: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(("eq", "ne", "lt", "lte", "gt", "gte", "in"), of_type("boolean")),
    **dict.fromkeys(("and", "or", "not", "exists"), of_type("boolean")),
    **dict.fromkeys(("any", "all"), of_type("boolean")),
    **dict.fromkeys(("add", "sub", "mul", "div", "mod", "len"), of_type("number")),
    "template": of_type("string"),
    **{one.name: of_type(one.gives) for one in FUNCTIONS.values()},
}
# The fields that are read after others of the node have been written.
_READ_LATER: Final[Mapping[str, str]] = {"fanout": "select", "loop": "cond"}


class State(ChainMap[str, Shape]):
    """The shapes of the keys of the Ctx, in a layer for each arm around a node."""

    def shape_of(self, key: str) -> Shape:
        """Return the shape of a key, NOTHING for an unknown one."""
        for layer in self.maps:
            if key in layer:
                return layer[key]
        return NOTHING


@dataclass(frozen=True, slots=True)
class Absence:
    """A read of a path where nothing can be: `known` keys lead to a value of `shape`.

    With `first_round` nothing can be there only before a loop's first round.
    """

    known: Keys
    shape: Shape
    first_round: bool = False


@dataclass(slots=True)
class FlowShapes:
    """The shapes of a flow, by the places of its nodes and reads."""

    conds: dict[str, Shape] = field(default_factory=dict)
    """What the `cond` of each branch and loop gives."""
    inputs: dict[str, Shape] = field(default_factory=dict)
    """What the `in` of each step gives."""
    absences: dict[str, Absence] = field(default_factory=dict)
    """The reads of a path, by their places, where nothing can be."""


def needed_paths(spot: Spot) -> Iterator[PathRead]:
    """Yield each path that is of use to a node only if something is there."""
    yield from spot.path_reads
    for _, keys in spot.deletes:
        yield PathRead(spot.place, keys, optional=False)


def find_shapes(
    root: Spot,
    init: Json,
    launch: Mapping[str, Json] | None,
    answers: Mapping[str, Shape],
) -> FlowShapes:
    """Return the shapes of a flow that starts with `init`, or what a launch gives.

    `answers` are those of the agents by name; others may answer anything. Where a node
    writes the whole Ctx, or where it is no object, it can be anything.
    """
    tiers = [tier for tier in (init, launch) if tier is not None]
    is_known = all(isinstance(tier, dict) for tier in tiers) and all(
        keys for spot in root.walk() for _, keys in spot.writes
    )
    walker = _Walker(answers, is_open=init is None, is_known=is_known)
    begin = {
        key: shape_of_value(value, given=True)
        for tier in (tiers if is_known else ())
        for key, value in tier.items()
    }
    walker.run(root, State({}, begin))
    return walker.found


class _Walker:
    def __init__(
        self, answers: Mapping[str, Shape], *, is_open: bool, is_known: bool
    ) -> None:
        self.found = FlowShapes()
        self._answers = answers
        # The document does not say what a run begins with.
        self._is_open = is_open
        self._is_known = is_known
        self._slips: dict[tuple[str, frozenset[str]], bool] = {}

    def run(self, spot: Spot, state: State) -> None:
        """Carry the state over a node."""
        reads: Iterable[PathRead] = spot.path_reads
        if spot.kind in _READ_LATER:
            later = f"{spot.place}.{_READ_LATER[spot.kind]}"
            reads = (one for one in reads if not one.place.startswith(later))
        self._note(reads, state)
        below = spot.children
        match spot.kind:
            case "step" | "assign" | "let":
                self._write(spot, state, self._result(spot, state))
            case "delete":
                self._note(needed_paths(spot), state)
            case "seq":
                for child in below:
                    self.run(child, state)
            case "branch":
                self.found.conds[spot.place] = self._give(spot.node["cond"], state)
                _join(state, *(self._arm(child, state) for child in below))
            case "loop":
                self._loop(spot, below[0], state)
            case "fanout":
                self._fanout(spot, below[0], state)
            case _:
                self._try(spot, below, state)

    def _result(self, spot: Spot, state: State) -> Shape:
        if spot.kind != "step":
            return self._give(spot.node["value"], state)
        self.found.inputs[spot.place] = self._give(spot.node["in"], state)
        return self._answers.get(spot.node["ref"], ANY)

    def _arm(self, spot: Spot, state: State) -> Changes:
        layer = state.new_child()
        self.run(spot, layer)
        return layer.maps[0]

    def _loop(self, spot: Spot, body: Spot, state: State) -> None:
        self._write(spot, state, of_type("number"))
        place, cond = f"{spot.place}.cond", spot.node["cond"]
        if not self._is_open and spot.node["max"] > 0:
            self._note(_sure_reads(place, cond), state, first_round=True)
        later = state.new_child()
        for keys in filter(None, lasting_writes(body)):
            before = later.shape_of(str(keys[0]))
            later[str(keys[0])] = either(before, self._written(before, keys[1:], ANY))
        self._note(paths_in(place, cond), later)
        first = self._give(cond, state)
        self.run(body, later)
        _join(state, {}, later.maps[0])
        self.found.conds[spot.place] = either(first, self._give(cond, state))

    def _try(self, spot: Spot, below: Sequence[Spot], state: State) -> None:
        body, catch = self._arm(below[0], state), state.new_child()
        is_text = spot.node.get("err_as", "text") == "text"
        self._write(spot, catch, of_type("string" if is_text else "object"))
        self.run(below[1], catch)
        _join(state, body, catch.maps[0])

    def _fanout(self, spot: Spot, body: Spot, state: State) -> None:
        node, lane = spot.node, state.new_child()
        items = self._give(node["items"], state)
        self._write(spot, lane, part_of(items, 0), field=".bind")
        self.run(body, lane)
        result = ANY_OBJECT
        if node.get("select") is not None:
            self._note(paths_in(f"{spot.place}.select", node["select"]), lane)
            result = self._give(node["select"], lane)
        if node["join"] == "all_settled":
            parts = {"status": of_type("string"), "value": result}
            result = object_of({**parts, "reason": of_type("string")})
        if node["join"] in COLLECTING:
            result = array_of(result)
        self._write(spot, state, result, field=".out")

    def _write(self, spot: Spot, state: State, shape: Shape, field: str = "") -> None:
        for place, keys in spot.writes:
            if keys and place.endswith(field):
                before = state.shape_of(str(keys[0]))
                state[str(keys[0])] = self._written(before, keys[1:], shape)

    def _top(self, state: State, key: str | int) -> Shape:
        """Return the shape of what is at a key of the Ctx."""
        if not self._is_known or isinstance(key, int):
            return ANY
        return state.shape_of(key)

    def _written(self, before: Shape, rest: Keys, value: Shape) -> Shape:
        # The launch may have given an object that the flow seems to make.
        new = ANY_OBJECT if self._is_open else object_of({})
        return with_part(before, rest, value, new=new)

    def _note(
        self, reads: Iterable[PathRead], state: State, *, first_round: bool = False
    ) -> None:
        """Note the reads of paths where nothing can be."""
        for read in reads:
            shape = ANY_OBJECT
            for number, key in enumerate(read.keys):
                below = part_of(shape, key) if number else self._top(state, key)
                if not below.types or (number and self._is_slip(key, shape)):
                    found = Absence(read.keys[:number], shape, first_round)
                    self.found.absences[read.place] = found
                    break
                shape = below

    def _is_slip(self, key: str | int, shape: Shape) -> bool:
        """Return whether a key that an object may have is one letter off a known one."""
        known = shape.keys
        if not isinstance(key, str) or not known or key in known:
            return False
        asked = key, frozenset(known)
        if asked not in self._slips:
            if len(self._slips) >= MOST_SEARCHED:
                return False
            self._slips[asked] = bool(slip_of(key, known))
        return self._slips[asked]

    def _give(self, expr: Json, state: State) -> Shape:
        """Return the shape of what an expression gives."""
        match expr["op"]:
            case "lit":
                return shape_of_value(expr["value"])
            case "path":
                keys = keys_of(expr["at"])
                if not keys:
                    return ANY_OBJECT
                found = at_path(self._top(state, keys[0]), keys[1:])
                # A read of what is not there has its own finding.
                return found if found.types else ANY
            case "default":
                both = (self._give(expr[name], state) for name in ("arg", "fallback"))
                return either(*both)
            case "object":
                entries = expr["entries"].items()
                return object_of({k: self._give(one, state) for k, one in entries})
            case "array":
                parts = (self._give(one, state) for one in expr["items"])
                return array_of(either(*parts))
            case "filter" | "sort_by":
                items = self._give(expr["in"], state)
                return items if items.types == {"array"} else of_type("array")
            case "map":
                return self._map(expr, state)
            case op:
                return _GIVES.get(op, ANY)

    def _map(self, expr: Json, state: State) -> Shape:
        bound, items = keys_of(expr["as"]), self._give(expr["in"], state)
        if not bound:
            return of_type("array")
        inner = state.new_child()
        top = str(bound[0])
        element = part_of(items, 0)
        inner[top] = with_part(inner.shape_of(top), bound[1:], element, new=ANY_OBJECT)
        return array_of(self._give(expr["value"], inner))


def _join(state: State, one: Changes, other: Changes) -> None:
    """Continue with what either of two arms leaves."""
    for key in one.keys() | other.keys():
        before = state.shape_of(key)
        state[key] = either(one.get(key, before), other.get(key, before))


def _sure_reads(place: str, cond: Json) -> Iterator[PathRead]:
    """Yield each path that an expression reads in any case, and that has to be there."""
    perhaps: list[str] = []
    for at, part in walk_expr(place, cond):
        match part["op"]:
            case "and" | "or":
                rest = range(1, len(part["args"]))
                perhaps += [f"{at}.args[{number}]" for number in rest]
            case op if op in BINDING:
                perhaps += [f"{at}.cond", f"{at}.value"]
            case _:
                pass
    for read in paths_in(place, cond):
        if not (read.optional or any(map(read.place.startswith, perhaps))):
            yield read
