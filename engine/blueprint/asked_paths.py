"""The paths whose values conditions compare, and which writes concern each of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from engine.blueprint.conditions import (
    ELEMENT,
    any_index,
    comparisons_in,
    source_of,
)
from engine.blueprint.flow_walk import Keys, Spot, keys_of, walk_nodes, writes_of
from engine.flow.json_text import Json

VERDICT: Final[Keys] = ("parts", "verdict")
# A lane's path may lead to a path of another lane, and so on; what few flows do.
_STEPS: Final = 4
# Every write concerns each path at or below it. Where that is more, the flow is one that
# nobody wrote, and nothing is said of verdicts.
_MOST_CONCERNED: Final = 500_000


@dataclass(frozen=True, slots=True)
class Asked:
    """`below` has, for each path that a node writes to, the `paths` it writes over."""

    paths: Mapping[Keys, None]
    below: Mapping[Keys, list[Keys]]


def asked_paths(root: Spot) -> Asked:
    """Returns what the conditions of a flow compare.

    A comparison with an element of what a fanout collects also asks for the path in
    its lanes that the element comes from.
    """
    spots = walk_nodes(root.node)
    paths: dict[Keys, None] = {}
    for spot in spots:
        if spot.kind in ("branch", "loop"):
            for one in comparisons_in("$", spot.node["cond"]):
                paths[one.source.path] = None
    fanouts: dict[Keys, list[Json]] = {}
    for spot in spots:
        if spot.kind == "fanout" and spot.node["out"]["op"] == "path":
            fanouts.setdefault(any_index(_out(spot.node)), []).append(spot.node)
    new = list(paths)
    for _ in range(_STEPS if fanouts else 0):
        inside = dict.fromkeys(_inside(new, fanouts, most=len(spots)))
        new = [path for path in inside if path not in paths]
        paths.update(dict.fromkeys(new))
    written = Counter(any_index(keys) for spot in spots for _, keys in writes_of(spot))
    below: dict[Keys, list[Keys]] = {}
    for path in paths:
        for above in _prefixes(path):
            if above in written:
                below.setdefault(above, []).append(path)
    concerned = sum(written[keys] * len(asking) for keys, asking in below.items())
    return Asked(paths, below) if concerned <= _MOST_CONCERNED else Asked({}, {})


def lane_path(fanout: Json, path: Keys) -> Keys | None:
    """Returns the path in a fanout's lanes that a path below its out comes from."""
    collects = fanout["join"] in ("all", "all_settled")
    head = (*any_index(_out(fanout)), *((ELEMENT,) if collects else ()))
    if fanout["join"] == "all_settled":
        head = (*head, "value")
    if path[: len(head)] != head:
        return None
    start: Keys = ()
    if fanout.get("select") is not None:
        source = source_of(fanout["select"])
        if source is None:
            return None
        start = source.path
    return start + path[len(head) :]


def _out(fanout: Json) -> Keys:
    return keys_of(fanout["out"]["at"])


def _inside(
    paths: list[Keys], fanouts: Mapping[Keys, list[Json]], most: int
) -> Iterator[Keys]:
    for path in paths:
        for above in _prefixes(path):
            for fanout in fanouts.get(above, ()):
                inside = lane_path(fanout, path)
                most -= 1
                if most < 0:
                    # What isn't followed counts as unknown.
                    return
                if inside is not None:
                    yield inside


def _prefixes(path: Keys) -> Iterator[Keys]:
    return (path[:size] for size in range(len(path) + 1))
