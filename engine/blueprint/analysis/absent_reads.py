"""The reads of paths where nothing can be, each with where the path is written."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, TypeAlias

from engine.blueprint.analysis.flow_shapes import Absence, FlowShapes, needed_paths
from engine.blueprint.analysis.flow_walk import (
    Keys,
    PathRead,
    Spot,
    is_at_or_below,
    prefixes_of,
)
from engine.blueprint.analysis.verdict_tests import MOST_PAIRS
from engine.blueprint.analysis.written_paths import WrittenPaths

Where: TypeAlias = Literal["later", "in a lane", "in a try", "nowhere"]


@dataclass(frozen=True, slots=True)
class AbsentRead:
    """A read where nothing can be, and where the writes of its path are.

    Of one that is written later, `written_at` is the place of the first write, and
    `is_update` tells whether a node that writes the path reads it as well.
    """

    read: PathRead
    absence: Absence
    where: Where
    written_at: str = ""
    is_update: bool = False


def find_absent_reads(spots: Sequence[Spot], shapes: FlowShapes) -> list[AbsentRead]:
    """Return the absent reads of a flow, the first of each path.

    A path that any expression asks for with `exists` or `default` is none.
    """
    found = list(_absent_reads(spots, shapes)) if shapes.absences else []
    later = {one.read.keys: n for n, one in enumerate(found) if one.where == "later"}
    asked: dict[Spot, tuple[set[Keys], set[Keys]]] = {}
    writes = _writes_of_any(spots, later) if later else iter(())
    # Beyond that many, later writes are left out, so that hostile documents end soon.
    for spot, place, keys in islice(writes, MOST_PAIRS):
        one = found[later[keys]]
        if spot not in asked:
            paths = {read.keys for read in needed_paths(spot)}
            asked[spot] = paths, {above for one in paths for above in prefixes_of(one)}
        own, above_own = asked[spot]
        reads = is_at_or_below(keys, own) or keys in above_own
        found[later[keys]] = replace(
            one,
            written_at=one.written_at or place,
            is_update=one.is_update or reads,
        )
    return found


def _writes_of_any(
    spots: Sequence[Spot], paths: Collection[Keys]
) -> Iterator[tuple[Spot, str, Keys]]:
    """Yield each write above, at or below one of some paths, with the path."""
    below: dict[Keys, list[Keys]] = {}
    for keys in paths:
        for above in prefixes_of(keys):
            below.setdefault(above, []).append(keys)
    for spot in spots:
        for place, target in spot.writes:
            for above in prefixes_of(target):
                if above == target:
                    found = below.get(target, [])
                else:
                    found = [above] if above in paths else []
                yield from ((spot, place, keys) for keys in found)


def _absent_reads(spots: Sequence[Spot], shapes: FlowShapes) -> Iterator[AbsentRead]:
    reads = [(spot, read) for spot in spots for read in needed_paths(spot)]
    written = WrittenPaths(spots, {read.keys for _, read in reads})
    done = {read.keys for _, read in reads if read.optional}
    for spot, read in reads:
        absence = shapes.absences.get(read.place)
        if absence is None or is_at_or_below(read.keys, done):
            continue
        known = len(absence.known)
        found = written.look_up(spot, read, known)
        yield AbsentRead(read, absence, "later" if found == "seen" else found)
        done.add(read.keys)
