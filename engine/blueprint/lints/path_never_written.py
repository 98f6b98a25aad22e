"""A path is read that nothing writes."""

import difflib
from collections.abc import Collection, Iterator
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
# The writes of one path: by the innermost lane they are in, the tries in whose body.
Seen: TypeAlias = dict[str, set[frozenset[str]]]
_NEAR: Final = 0.8
_MOST_COMPARED: Final = 500
_MOST_SEARCHED: Final = 100


@dataclass(slots=True)
class _Writes:
    """What is written and who can see it, with those of the `asked` paths above it."""

    asked: Collection[Keys]
    at: dict[Keys, Seen] = field(default_factory=dict)
    above: dict[Keys, Seen] = field(default_factory=dict)

    def add(self, keys: Keys, inside: Inside) -> None:
        """Note a write."""
        lanes, bodies = inside
        # A lane's place begins with that of the lane around it.
        lane = max(lanes, key=len, default="")
        self.at.setdefault(keys, {}).setdefault(lane, set()).add(bodies)
        for size in range(len(keys)):
            if keys[:size] in self.asked:
                seen = self.above.setdefault(keys[:size], {})
                seen.setdefault(lane, set()).add(bodies)

    def of(self, keys: Keys) -> Iterator[Seen]:
        """Yield the writes that give a path a value, at, above or below it."""
        if keys in self.above:
            yield self.above[keys]
        for size in range(len(keys) + 1):
            if keys[:size] in self.at:
                yield self.at[keys[:size]]


@dataclass(slots=True)
class _Reader:
    """Says what is wrong with a read; what it has found out it says again."""

    view: View
    writes: _Writes
    names: tuple[str, ...]
    known: dict[tuple[Keys, Inside], str | None] = field(default_factory=dict)
    near: dict[str, str] = field(default_factory=dict)

    def why(self, keys: Keys, inside: Inside) -> str | None:
        """Return what is wrong with a read, or None if it may well find a value."""
        if (keys, inside) not in self.known:
            self.known[keys, inside] = self._why(keys, *inside)
        return self.known[keys, inside]

    def _why(
        self, keys: Keys, lanes: frozenset[str], catches: frozenset[str]
    ) -> str | None:
        found = other = False
        around = ("", *lanes)
        for seen in self.writes.of(keys):
            found = True
            for lane in around:
                if any(bodies.isdisjoint(catches) for bodies in seen.get(lane, ())):
                    return None
            other = other or any(lane not in around for lane in seen)
        if other:
            return "only a fanout's lane does; read it from the fanout's out"
        if found:
            return "only the try's body does, and a catch starts from before it"
        near = self._near(str(keys[0]))
        if near and near != keys[0]:
            return f"did you mean '$.{near}'?"
        if isinstance(self.view.blueprint.default_init_ctx, dict):
            return "add it to default_init_ctx (null will do) if the launch gives it"
        return None

    def _near(self, name: str) -> str:
        """Return the written name that is most like one, empty without any."""
        if name not in self.near and len(self.near) < _MOST_SEARCHED:
            # No other length can be near enough.
            ratio = _NEAR / (2 - _NEAR)
            shortest, longest = len(name) * ratio, len(name) / ratio
            fit = [one for one in self.names if shortest <= len(one) <= longest]
            fit.sort(key=lambda one: abs(len(one) - len(name)))
            few = fit[:_MOST_COMPARED]
            found = difflib.get_close_matches(name, few, n=1, cutoff=_NEAR)
            self.near[name] = found[0] if found else ""
        return self.near.get(name, "")


def check(view: View) -> Iterator[Finding]:
    """Yields each path once, where it is read first.

    Lanes keep their writes to themselves, and a catch starts from before its body.
    Without default_init_ctx the launch may give anything, so only what looks like a
    slip is told; paths that an `exists` asks for may be absent.
    """
    reads = [
        (spot, read)
        for spot in view.spots
        for place, expr in reads_of(spot)
        for read in paths_in(place, expr)
    ]
    writes = _writes_in(view, {read.keys for _, read in reads})
    if () in writes.at:
        return
    names = sorted({str(path[0]) for path in writes.at})
    reader = _Reader(view, writes, tuple(names))
    scopes = _scopes(view, "catch")
    told = {read.keys for _, read in reads if read.asked}
    for spot, read in reads:
        keys = read.keys
        if not keys or _given(view, keys) or _is_told(keys, told):
            continue
        lanes, catches = scopes[spot]
        if read.place.startswith(f"{spot.place}.select"):
            # The one field of a fanout that is read in its lanes.
            lanes |= {spot.place}
        why = reader.why(keys, (lanes, catches))
        if why is not None:
            told.add(keys)
            yield Finding(f"{read.place}.at", f"nothing writes {show_keys(keys)}", why)


def _writes_in(view: View, asked: Collection[Keys]) -> _Writes:
    writes = _Writes(asked)
    for spot, (around, bodies) in _scopes(view, "body").items():
        for place, keys in writes_of(spot):
            lanes = around
            if spot.kind == "fanout" and place.endswith(".bind"):
                lanes |= {spot.place}
            writes.add(keys, (lanes, bodies))
    return writes


def _is_told(keys: Keys, told: set[Keys]) -> bool:
    """Tells whether a path, or one above it, is asked for or told already."""
    return any(keys[:size] in told for size in range(len(keys) + 1))


def _given(view: View, keys: Keys) -> bool:
    """Tells whether a run may begin with a value at a path."""
    tiers: tuple[Json, ...] = (view.blueprint.default_init_ctx, view.options.launch)
    if any(not isinstance(tier, dict | None) for tier in tiers):
        return True
    return any(tier is not None and keys[0] in tier for tier in tiers)


def _scopes(view: View, arm: str) -> dict[Spot, Inside]:
    """Returns the fanouts around each spot, and the tries in whose `arm` it stands."""
    scopes: dict[Spot, Inside] = {}
    for spot in view.spots:
        parent = spot.parent
        if parent is None:
            scopes[spot] = (frozenset(), frozenset())
            continue
        lanes, tries = scopes[parent]
        if parent.kind == "fanout":
            lanes |= {parent.place}
        elif parent.kind == "try" and spot.arm == arm:
            tries |= {parent.place}
        scopes[spot] = (lanes, tries)
    return scopes


LINT: Final = LintKind(
    "path-never-written", "suspicious", Level.WARN, "FlowLint", lint=check
)
