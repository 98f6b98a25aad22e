"""The public names of the steps' outputs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.blueprint.analysis.flow_walk import Spot, keys_of

# By whether the first and the second step declare a projection_name.
_REASONS: Final = {
    (True, True): "both sides declare projection_name",
    (True, False): "the first step declares projection_name",
    (False, True): "the second step declares projection_name",
    (False, False): "",
}


@dataclass(frozen=True, slots=True)
class Collision:
    """Two refs that claim one name; `place` is that of the second one's step.

    With a `reason`, a declared projection_name, the collision is an error.
    """

    name: str
    place: str
    first: str
    second: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepNames:
    """Map each public name and alias in `names` to the canonical name it stands for."""

    names: Mapping[str, str]
    collisions: tuple[Collision, ...]


def name_steps(spots: Iterable[Spot], projection_names: Mapping[str, str]) -> StepNames:
    """Return the names of all steps, given the projection names by agent."""
    canonical: dict[str, str] = {}
    # By claimed name: the place of the first claim of each ref.
    strong: dict[str, dict[str, str]] = defaultdict(dict)
    weak: dict[str, dict[str, str]] = defaultdict(dict)
    for spot in spots:
        if spot.kind != "step":
            continue
        ref, out = spot.node["ref"], spot.node["out"]
        canonical[ref] = projection_names.get(ref, ref)
        for name in {ref, canonical[ref], spot.node.get("name", ref)}:
            strong[name].setdefault(ref, spot.place)
        keys = keys_of(out["at"]) if out["op"] == "path" else ()
        for name in map(str, keys[:1]):
            (weak if len(keys) > 1 else strong)[name].setdefault(ref, spot.place)
    names: dict[str, str] = {}
    collisions: list[Collision] = []
    for name, claimed in strong.items():
        first, *others = claimed
        names[name] = canonical[name if name in claimed else first]
        for other in others:
            reason = _REASONS[first in projection_names, other in projection_names]
            collisions.append(Collision(name, claimed[other], first, other, reason))
    for name, claimed in weak.items():
        # A weak claim counts only if it is the only claim of the name.
        if name not in strong and len(claimed) == 1:
            names[name] = canonical[next(iter(claimed))]
    return StepNames(names, tuple(collisions))
