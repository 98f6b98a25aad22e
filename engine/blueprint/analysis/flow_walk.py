"""The nodes and expressions of a program's flow with their places in it.

The walk reads the JSON that is stored instead of parsed nodes: places follow from it,
and a new node kind or operator of the language needs no change here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

from engine.flow import FlowError, evaluate_expr, read_expr
from engine.flow.errors import place_step
from engine.flow.functions import FUNCTIONS
from engine.flow.grammar import NODES, OPS, FieldType
from engine.flow.json_text import Json
from engine.flow.path import read_path, swarm_path

Keys: TypeAlias = tuple[str | int, ...]

START: Final = "$.flow"
CHILD_KEYS: Final = ("body", "catch", "then", "else")
# The fields that a node writes to; it reads every other expression.
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    word.name: tuple(
        field.name for field in word.fields if field.type in ("path", "path expression")
    )
    for word in NODES
}
BINDING: Final = frozenset(
    word.name for word in OPS if any(field.name == "as" for field in word.fields)
)
"""The operators that bind each element of an array to a path."""
# The fields with the path that a node removes.
_DELETED: Final[Mapping[str, tuple[str, ...]]] = {
    word.name: tuple(f.name for f in word.fields if f.type == "path below $")
    for word in NODES
}
UNKNOWN: Final = object()
"""The value `constant_of` returns for an expression that depends on the run."""
# Loops and functions may be constant as well, but evaluating them may take long.
_VARIABLE: Final = frozenset({"path", "call_extern", *BINDING, *FUNCTIONS})
# The fields of each operator that are paths.
_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    word.name: tuple(field.name for field in word.fields if field.type == "path")
    for word in OPS
}
# The fields of each operator that are its arguments; texts, paths and values are none.
_ARGUMENTS: Final[Mapping[str, tuple[tuple[str, FieldType], ...]]] = {
    word.name: tuple(
        (field.name, field.type)
        for field in word.fields
        if field.type in ("expression", "expressions", "object of expressions")
    )
    for word in OPS
}


class PathRead(NamedTuple):
    """A path that an expression reads; `optional` if it may be absent."""

    place: str
    keys: Keys
    optional: bool


# Not frozen, which would double its cost: each node has one.
@dataclass(eq=False)
class Spot:
    """A node at its place; `arm` is the field of the parent that has it.

    What a check reads of the node is found once for all checks.
    """

    place: str
    node: dict[str, Json]
    parent: "Spot | None" = None
    arm: str = ""
    kind: str = field(init=False)
    """The node's kind."""

    def __post_init__(self) -> None:
        """Note the kind."""
        self.kind = str(self.node["kind"])

    @cached_property
    def children(self) -> "tuple[Spot, ...]":
        """The nodes directly inside."""
        node, place = self.node, self.place
        below = [
            Spot(f"{place}.{key}", node[key], self, key)
            for key in CHILD_KEYS
            if key in node
        ]
        for number, child in enumerate(node.get("children", ())):
            below.append(Spot(f"{place}.children[{number}]", child, self, "children"))
        return tuple(below)

    @cached_property
    def parts(self) -> list[tuple[str, Json]]:
        """Each expression that is read, with its place: fields and what is inside."""
        targets = TARGETS.get(self.kind, ())
        found: list[tuple[str, Json]] = []
        for name, value in self.node.items():
            if isinstance(value, dict) and "op" in value and name not in targets:
                found += walk_expr(f"{self.place}.{name}", value)
        return found

    @cached_property
    def path_reads(self) -> list[PathRead]:
        """Each path of the Ctx that the expressions read."""
        return list(_paths_among(self.parts))

    @cached_property
    def targets(self) -> tuple[tuple[str, Json], ...]:
        """The place and the expression of each field that is written to."""
        found: list[tuple[str, Json]] = []
        for name in TARGETS.get(self.kind, ()):
            value = self.node.get(name)
            if isinstance(value, str):
                # A `let` names its path without an expression around it.
                value = {"op": "path", "at": value}
            if value is not None:
                found.append((f"{self.place}.{name}", value))
        return tuple(found)

    @cached_property
    def writes(self) -> tuple[tuple[str, Keys], ...]:
        """The place and the keys of each path that the node writes to."""
        return tuple(
            (place, keys_of(target["at"]))
            for place, target in self.targets
            if target["op"] == "path"
        )

    @property
    def deletes(self) -> list[tuple[str, Keys]]:
        """The place and the keys of each path that the node removes."""
        return [
            (f"{self.place}.{name}", keys_of(self.node[name]))
            for name in _DELETED.get(self.kind, ())
        ]

    def ancestors(self) -> "Iterator[Spot]":
        """Yield this spot and those above it, the root last."""
        spot: Spot | None = self
        while spot is not None:
            yield spot
            spot = spot.parent

    def walk(self) -> "list[Spot]":
        """Return this spot and those below it, in the order of the document."""
        found: list[Spot] = []
        waiting = [self]
        while waiting:
            spot = waiting.pop()
            found.append(spot)
            waiting.extend(reversed(spot.children))
        return found


def outside_lanes(root: Spot) -> Iterator[Spot]:
    """Yield a node and those below it that are in no lane of a fanout."""
    waiting = [root]
    while waiting:
        spot = waiting.pop()
        yield spot
        if spot.kind != "fanout":
            waiting.extend(spot.children)


def lasting_writes(root: Spot) -> Iterator[Keys]:
    """Yield each path that a node and those below it write outside of lanes."""
    for spot in outside_lanes(root):
        for place, keys in spot.writes:
            if not (spot.kind == "fanout" and place.endswith(".bind")):
                yield keys


def walk_nodes(flow: Json) -> list[Spot]:
    """Return every node of a well-formed flow in the order of the document."""
    return Spot(START, flow).walk()


def agents_named_in(flow: Json, field: str) -> Iterator[tuple[str, str]]:
    """Yield each agent that a step of a flow names in a field, with its place.

    The flow may have faults: what can't be read is passed over.
    """
    waiting: list[tuple[str, Json]] = [(START, flow)]
    while waiting:
        place, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        named, children = node.get(field), node.get("children")
        if node.get("kind") == "step" and isinstance(named, str):
            yield f"{place}.{field}", named
        below = [(f"{place}.{key}", node[key]) for key in CHILD_KEYS if key in node]
        if isinstance(children, list):
            below += [(f"{place}.children[{n}]", one) for n, one in enumerate(children)]
        waiting.extend(reversed(below))


def is_empty(node: Json) -> bool:
    """Return whether a node does nothing."""
    return bool(node["kind"] == "seq" and all(map(is_empty, node["children"])))


def walk_expr(place: str, expr: Json) -> list[tuple[str, Json]]:
    """Return an expression and those inside it, with their places, the outer first."""
    found: list[tuple[str, Json]] = []
    waiting = [(place, expr)]
    while waiting:
        one = waiting.pop()
        found.append(one)
        # Most have none.
        if _ARGUMENTS[one[1]["op"]]:
            waiting.extend(reversed(parts_of(*one)))
    return found


def parts_of(place: str, expr: Json) -> list[tuple[str, Json]]:
    """Return the direct arguments of an expression with their places."""
    found: list[tuple[str, Json]] = []
    for name, of_type in _ARGUMENTS[expr["op"]]:
        value, at = expr[name], f"{place}.{name}"
        if of_type == "expression":
            found.append((at, value))
        elif of_type == "expressions":
            found += [(f"{at}[{n}]", part) for n, part in enumerate(value)]
        else:
            found += [(at + place_step(key), value[key]) for key in value]
    return found


def path_texts(spot: Spot) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each path in a node's own fields."""
    for name in (*TARGETS.get(spot.kind, ()), *_DELETED.get(spot.kind, ())):
        value, place = spot.node.get(name), f"{spot.place}.{name}"
        if isinstance(value, str):
            yield place, value
        elif value is not None:
            yield from paths_written_in(walk_expr(place, value))
    yield from paths_written_in(spot.parts)


def paths_written_in(parts: Iterable[tuple[str, Json]]) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each path that expressions have themselves."""
    for at, part in parts:
        for name in _PATHS[part["op"]]:
            yield f"{at}.{name}", part[name]


def paths_in(place: str, expr: Json) -> Iterator[PathRead]:
    """Yield each path of the Ctx that an expression reads.

    Paths below the element that a loop such as `map` binds are no paths of the Ctx. A
    path inside the argument of `exists` or `default` is optional.
    """
    return _paths_among(walk_expr(place, expr))


def _paths_among(parts: Iterable[tuple[str, Json]]) -> Iterator[PathRead]:
    """Yield what `paths_in` yields of expressions, all of which are among `parts`."""
    optional: list[str] = []
    bound: list[tuple[str, Keys]] = []
    for at, part in parts:
        match part["op"]:
            case "exists" | "default":
                optional.append(f"{at}.arg")
            case op if op in BINDING:
                own = keys_of(part["as"])
                bound += [(f"{at}.{name}", own) for name in ("cond", "value")]
            case "path":
                keys = keys_of(part["at"])
                if not any(
                    at.startswith(scope) and keys[: len(own)] == own
                    for scope, own in bound
                ):
                    yield PathRead(at, keys, any(map(at.startswith, optional)))


def prefixes_of(keys: Keys) -> Iterator[Keys]:
    """Yield every path above a path, from the root, and the path itself."""
    return (keys[:size] for size in range(len(keys) + 1))


def is_at_or_below(keys: Keys, paths: Collection[Keys]) -> bool:
    """Return whether a path is one of some paths, or below one of them."""
    return any(above in paths for above in prefixes_of(keys))


def keys_of(path: str) -> Keys:
    """Return the keys of a well-formed path text."""
    # Every path of flow.ir is a stored path of the dialect 'swarm' as well.
    return read_path(path, "swarm").keys


def show_keys(keys: Keys) -> str:
    """Return the canonical text of a path with these keys."""
    return str(swarm_path(keys))


def constant_of(expr: Json) -> Json:
    """Return the value of a constant expression, UNKNOWN for any other."""
    if expr["op"] == "lit":
        return expr["value"]
    if any(part["op"] in _VARIABLE for _, part in walk_expr("$", expr)):
        return UNKNOWN
    try:
        return evaluate_expr(read_expr(expr, "swarm"), None)
    except FlowError:
        # The expression fails in every run, so it has no value.
        return UNKNOWN
