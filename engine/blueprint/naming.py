"""One public name for the output of each step (reference-language 3.5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.blueprint.flow_walk import Spot, keys_of


@dataclass(frozen=True, slots=True)
class Collision:
    """Two refs that claim one name; `place` is that of the later one's step.

    It is an error where a projection_name took part, else a warning.
    """

    name: str
    place: str
    first: str
    second: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepNames:
    """`names` maps each public name and alias to the canonical name it stands for."""

    names: Mapping[str, str]
    collisions: tuple[Collision, ...]


@dataclass(slots=True)
class _Claims:
    """Who wants which name: by name, the place of each ref's first claim."""

    canonical: dict[str, str]
    strong: dict[str, dict[str, str]] = field(default_factory=dict)
    weak: dict[str, dict[str, str]] = field(default_factory=dict)

    def claim(self, name: str, ref: str, place: str, *, weak: bool = False) -> None:
        """Note that a ref wants a name."""
        refs = (self.weak if weak else self.strong).setdefault(name, {})
        refs.setdefault(ref, place)


def name_steps(spots: Iterable[Spot], projection_names: Mapping[str, str]) -> StepNames:
    """Returns the names of all steps; `projection_names` is by agent name."""
    claims = _Claims({})
    for spot in spots:
        if spot.kind != "step":
            continue
        ref, place = spot.node["ref"], spot.place
        claims.canonical[ref] = projection_names.get(ref, ref)
        claims.claim(ref, ref, place)
        claims.claim(claims.canonical[ref], ref, place)
        out = spot.node["out"]
        keys = keys_of(out["at"]) if out["op"] == "path" else ()
        if keys:
            claims.claim(str(keys[0]), ref, place, weak=len(keys) > 1)
    names: dict[str, str] = {}
    collisions: list[Collision] = []
    for name, claimed in claims.strong.items():
        first, *others = claimed
        names[name] = claims.canonical[name if name in claimed else first]
        for other in others:
            reason = _reason(first, other, projection_names)
            collisions.append(Collision(name, claimed[other], first, other, reason))
    for name, claimed in claims.weak.items():
        # A weak claim lives only where nobody else wants the name at all.
        if name not in claims.strong and len(claimed) == 1:
            names[name] = claims.canonical[next(iter(claimed))]
    return StepNames(names, tuple(collisions))


def _reason(first: str, second: str, projection_names: Mapping[str, str]) -> str:
    match first in projection_names, second in projection_names:
        case True, True:
            return "both sides declare projection_name"
        case True, False:
            return "the first step declares projection_name"
        case False, True:
            return "the second step declares projection_name"
    return ""
