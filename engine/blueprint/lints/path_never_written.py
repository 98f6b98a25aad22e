"""A path is read that nothing writes."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.flow_walk import (
    Keys,
    Spot,
    paths_in,
    reads_of,
    show_keys,
    writes_of,
)
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View
from engine.flow.json_text import Json

# The fanouts whose lane a spot is in, and the tries whose body (or catch) it is in.
Inside: TypeAlias = tuple[frozenset[str], frozenset[str]]
_NEAR: Final = 0.8


@dataclass(slots=True)
class _Writes:
    """What is written, with every path that leads there, and who can see it."""

    at: dict[Keys, set[Inside]] = field(default_factory=dict)
    above: dict[Keys, set[Inside]] = field(default_factory=dict)

    def add(self, keys: Keys, inside: Inside) -> None:
        """Note a write."""
        self.at.setdefault(keys, set()).add(inside)
        for size in range(len(keys)):
            self.above.setdefault(keys[:size], set()).add(inside)

    def of(self, keys: Keys) -> set[Inside]:
        """Return the writes that give a path a value, at, above or below it."""
        found = set(self.above.get(keys, ()))
        for size in range(len(keys) + 1):
            found |= self.at.get(keys[:size], set())
        return found


def check(view: View) -> Iterator[Finding]:
    """Yields each path once, where it is read first.

    Lanes keep their writes to themselves, and a catch starts from before its body.
    Without default_init_ctx the launch may give anything, so only what looks like a
    slip is told; paths that an `exists` asks for may be absent.
    """
    writes = _writes_in(view)
    if () in writes.at:
        return
    reads = [
        (spot, read)
        for spot in view.spots
        for place, expr in reads_of(spot)
        for read in paths_in(place, expr)
    ]
    told = {read.keys for _, read in reads if read.asked}
    for spot, read in reads:
        keys = read.keys
        if not keys or _given(view, keys) or _is_told(keys, told):
            continue
        lanes, catches = _scopes(spot, "catch")
        if read.place.startswith(f"{spot.place}.select"):
            # The one field of a fanout that is read in its lanes.
            lanes |= {spot.place}
        why = _why(view, (lanes, catches), keys, writes)
        if why is not None:
            told.add(keys)
            yield Finding(f"{read.place}.at", f"nothing writes {show_keys(keys)}", why)


def _writes_in(view: View) -> _Writes:
    writes = _Writes()
    for spot in view.spots:
        for place, keys in writes_of(spot):
            lanes, bodies = _scopes(spot, "body")
            if spot.kind == "fanout" and place.endswith(".bind"):
                lanes |= {spot.place}
            writes.add(keys, (lanes, bodies))
    return writes


def _is_told(keys: Keys, told: set[Keys]) -> bool:
    """Tells whether a path, or one above it, is asked for or told already."""
    return any(keys[:size] in told for size in range(len(keys) + 1))


def _why(view: View, inside: Inside, keys: Keys, writes: _Writes) -> str | None:
    """Returns what is wrong with a read, or None if it may well find a value."""
    lanes, catches = inside
    found = writes.of(keys)
    if any(lane <= lanes and not (bodies & catches) for lane, bodies in found):
        return None
    if any(not lane <= lanes for lane, _ in found):
        return "only a fanout's lane does; read it from the fanout's out"
    if found:
        return "only the try's body does, and a catch starts from before it"
    top = {str(path[0]) for path in writes.at if path}
    near = difflib.get_close_matches(str(keys[0]), top, n=1, cutoff=_NEAR)
    if near and near[0] != keys[0]:
        return f"did you mean '$.{near[0]}'?"
    if isinstance(view.blueprint.default_init_ctx, dict):
        return "add it to default_init_ctx (null will do) if the launch gives it"
    return None


def _given(view: View, keys: Keys) -> bool:
    """Tells whether a run may begin with a value at a path."""
    tiers: tuple[Json, ...] = (view.blueprint.default_init_ctx, view.options.launch)
    if any(not isinstance(tier, dict | None) for tier in tiers):
        return True
    return any(tier is not None and keys[0] in tier for tier in tiers)


def _scopes(spot: Spot, arm: str) -> Inside:
    """Returns the fanouts around a spot, and the tries in whose `arm` it stands."""
    lanes, tries = set(), set()
    for one in spot.ancestors():
        if one.parent is not None:
            if one.parent.kind == "fanout":
                lanes.add(one.parent.place)
            elif one.parent.kind == "try" and one.arm == arm:
                tries.add(one.parent.place)
    return frozenset(lanes), frozenset(tries)


LINT: Final = LintKind(
    "path-never-written", "suspicious", Level.WARN, "FlowLint", lint=check
)
