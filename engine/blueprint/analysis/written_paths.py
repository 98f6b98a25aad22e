"""The paths that a flow writes, and where in the flow each write is visible.

A write in a lane is visible in that lane only. A catch starts from the Ctx before its
body, so the writes of the body are invisible there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Literal, TypeAlias

from engine.blueprint.analysis.flow_walk import (
    Keys,
    PathRead,
    Spot,
    prefixes_of,
)

# The fanouts around a spot, and the tries whose body (or catch) is around it.
Inside: TypeAlias = tuple[frozenset[str], frozenset[str]]
# The writes of one path by the innermost fanout around them: the tries around each.
Writes: TypeAlias = defaultdict[str, set[frozenset[str]]]


class WrittenPaths:
    """The writes of a flow by path; `read` names the paths that `look_up` is called with."""

    def __init__(self, spots: Sequence[Spot], read: Collection[Keys]) -> None:
        self.at: defaultdict[Keys, Writes] = defaultdict(lambda: defaultdict(set))
        self._readers = _scopes_of(spots, "catch")
        self._above: defaultdict[Keys, Writes] = defaultdict(lambda: defaultdict(set))
        for spot, (around, bodies) in _scopes_of(spots, "body").items():
            for place, keys in spot.writes:
                lanes = around
                if spot.kind == "fanout" and place.endswith(".bind"):
                    lanes |= {spot.place}
                # The place of an inner fanout is longer than that of an outer one.
                lane = max(lanes, key=len, default="")
                self.at[keys][lane].add(bodies)
                for size in range(len(keys)):
                    if keys[:size] in read:
                        self._above[keys[:size]][lane].add(bodies)

    def look_up(
        self, spot: Spot, read: PathRead, known: int = 0
    ) -> Literal["seen", "in a lane", "in a try", "nowhere"]:
        """Return where the writes are that give a value to a path that a spot reads.

        Its first `known` keys alone have a value already. The reader sees at least one,
        or all are in other lanes, or all it could see are in the bodies of tries whose
        catch is around it, or no write exists.
        """
        lanes, catches = self._readers[spot]
        if read.place.startswith(f"{spot.place}.select"):
            # A fanout evaluates its `select`, and no other field, in its lanes.
            lanes |= {spot.place}
        found: Literal["in a lane", "in a try", "nowhere"] = "nowhere"
        around = ("", *lanes)
        for seen in self._of(read.keys, known):
            for lane in around:
                if any(bodies.isdisjoint(catches) for bodies in seen.get(lane, ())):
                    return "seen"
            if found != "in a lane":
                only_here = all(lane in around for lane in seen)
                found = "in a try" if only_here else "in a lane"
        return found

    def _of(self, keys: Keys, known: int) -> Iterator[Writes]:
        """Yield the writes below, above and at a path, of more than the known keys."""
        if keys in self._above:
            yield self._above[keys]
        for above in prefixes_of(keys):
            if above in self.at and (not known or len(above) > known):
                yield self.at[above]


def _scopes_of(spots: Sequence[Spot], arm: str) -> dict[Spot, Inside]:
    """Return the fanouts around each spot, and the tries whose `arm` is around it."""
    scopes: dict[Spot, Inside] = {}
    for spot in spots:
        lanes: frozenset[str] = frozenset()
        tries: frozenset[str] = frozenset()
        parent = spot.parent
        if parent is not None:
            lanes, tries = scopes[parent]
            if parent.kind == "fanout":
                lanes |= {parent.place}
            elif parent.kind == "try" and spot.arm == arm:
                tries |= {parent.place}
        scopes[spot] = (lanes, tries)
    return scopes
