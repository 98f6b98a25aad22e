"""The nodes and expressions of a flow with their places in the document.

Walks the JSON and not the parsed nodes, so that places come by themselves and a word
that the language gains needs no line here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.flow import FlowError, evaluate_expr, parse_expr, parse_path
from engine.flow.grammar import NODES
from engine.flow.json_text import Json
from engine.flow.path import path_of

Keys: TypeAlias = tuple[str | int, ...]

START: Final = "$.flow"
CHILD_KEYS: Final = ("body", "catch", "then", "else")
# The fields that name where a node writes; every other expression is read.
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    word.name: tuple(
        field.name for field in word.fields if field.sort in ("path", "path expression")
    )
    for word in NODES
}
UNKNOWN: Final = object()
"""What `constant_of` says of an expression whose value depends on the run."""
# Loops over arrays are left out for the time they may take.
_UNSETTLED: Final = frozenset({"path", "call_extern", "any", "all", "map", "filter"})


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A node at its place; `arm` is the field of the parent it stands in."""

    place: str
    node: dict[str, Json]
    parent: "Spot | None" = None
    arm: str = ""

    @property
    def kind(self) -> str:
        """The node's kind."""
        return str(self.node["kind"])

    def ancestors(self) -> Iterator["Spot"]:
        """Yields this spot and those above it, the root last."""
        spot: Spot | None = self
        while spot is not None:
            yield spot
            spot = spot.parent


def walk_nodes(flow: Json) -> list[Spot]:
    """Returns every node of a well-formed flow in the order of the document."""
    found: list[Spot] = []
    waiting = [Spot(START, flow)]
    while waiting:
        spot = waiting.pop()
        found.append(spot)
        waiting.extend(reversed(children_of(spot)))
    return found


def children_of(spot: Spot) -> list[Spot]:
    """Returns the nodes right below one."""
    node, place = spot.node, spot.place
    below = [
        Spot(f"{place}.{key}", node[key], spot, key)
        for key in CHILD_KEYS
        if key in node
    ]
    for number, child in enumerate(node.get("children", [])):
        below.append(Spot(f"{place}.children[{number}]", child, spot, "children"))
    return below


def is_empty(node: Json) -> bool:
    """Tells whether a node does nothing at all."""
    return bool(node["kind"] == "seq" and all(map(is_empty, node["children"])))


def reads_of(spot: Spot) -> Iterator[tuple[str, Json]]:
    """Yields the place and the expression of each field that is read."""
    targets = TARGETS.get(spot.kind, ())
    for field, value in spot.node.items():
        if field not in targets and isinstance(value, dict) and "op" in value:
            yield f"{spot.place}.{field}", value


def targets_of(spot: Spot) -> Iterator[tuple[str, Json]]:
    """Yields the place and the expression of each field that is written to."""
    for field in TARGETS.get(spot.kind, ()):
        value = spot.node.get(field)
        if isinstance(value, str):
            # `let` has a bare path.
            yield f"{spot.place}.{field}", {"op": "path", "at": value}
        elif value is not None:
            yield f"{spot.place}.{field}", value


def writes_of(spot: Spot) -> Iterator[tuple[str, Keys]]:
    """Yields the place and the keys of each path a node writes to."""
    for place, target in targets_of(spot):
        if target["op"] == "path":
            yield place, keys_of(target["at"])


def walk_expr(place: str, expr: Json) -> Iterator[tuple[str, Json]]:
    """Yields an expression and those inside it, the outer first."""
    waiting = [(place, expr)]
    while waiting:
        place, expr = waiting.pop()
        yield place, expr
        if expr["op"] != "lit":
            waiting.extend(reversed(list(parts_of(place, expr))))


def parts_of(place: str, expr: Json) -> Iterator[tuple[str, Json]]:
    """Yields the expressions right inside one that is no literal."""
    for field, value in expr.items():
        parts = enumerate(value) if isinstance(value, list) else [(-1, value)]
        for number, part in parts:
            if isinstance(part, dict) and "op" in part:
                at = f"{place}.{field}"
                yield (at if number < 0 else f"{at}[{number}]"), part


def path_texts(spot: Spot) -> Iterator[tuple[str, str]]:
    """Yields the place and the text of each path in a node's own fields."""
    for place, target in targets_of(spot):
        if isinstance(spot.node[place.removeprefix(f"{spot.place}.")], str):
            yield place, target["at"]
        else:
            yield from paths_written_in(place, target)
    for place, expr in reads_of(spot):
        yield from paths_written_in(place, expr)


def paths_written_in(place: str, expr: Json) -> Iterator[tuple[str, str]]:
    """Yields the place and the text of each path in an expression."""
    for at, part in walk_expr(place, expr):
        for field in ("at", "as"):
            if part["op"] != "lit" and isinstance(part.get(field), str):
                yield f"{at}.{field}", part[field]


@dataclass(frozen=True, slots=True)
class PathRead:
    """A path that an expression reads; `asked` where it may well be absent."""

    place: str
    keys: Keys
    asked: bool


def paths_in(place: str, expr: Json) -> Iterator[PathRead]:
    """Yields each path an expression reads of the document.

    The element that `any`, `all`, `map` and `filter` bind is not of the document;
    `exists` and `default` ask whether there is a value.
    """
    asking: list[str] = []
    bound: list[tuple[str, Keys]] = []
    for at, part in walk_expr(place, expr):
        match part["op"]:
            case "exists" | "default":
                asking.append(f"{at}.arg")
            case "any" | "all" | "map" | "filter":
                bound.append((f"{at}.", keys_of(part["as"])))
            case "path":
                keys = keys_of(part["at"])
                if not any(
                    at.startswith(scope) and keys[: len(own)] == own
                    for scope, own in bound
                ):
                    asked = any(at.startswith(one) for one in asking)
                    yield PathRead(at, keys, asked)


def keys_of(path: str) -> Keys:
    """Returns the keys of a path text that is known to be well-formed."""
    # The grammar of the dialect holds that of flow.ir.
    return parse_path(path, "swarm").keys


def show_keys(keys: Keys) -> str:
    """Returns the canonical text of a path with these keys."""
    return str(path_of("$", keys))


def constant_of(expr: Json) -> Json:
    """Returns the value of an expression that reads nothing, UNKNOWN for others."""
    if any(part["op"] in _UNSETTLED for _, part in walk_expr("$", expr)):
        return UNKNOWN
    try:
        return evaluate_expr(parse_expr(expr, "swarm"), None)
    except FlowError:
        # An expression that always fails is a constant of another sort.
        return UNKNOWN
