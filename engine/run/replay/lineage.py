"""The generations from which a run has come: each began with a part of the one before.

Their chains have the same addresses, and count their transitions on. So the journals, each
without what later generations left out, are one history of the newest generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.flow.json_text import Json
from engine.flow.path import Path
from engine.run.chain.ctx import dump_edit
from engine.run.journal.entries import STEP_ENDS
from engine.run.replay.cuts import Cut, Read, kept
from engine.run.replay.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a generation began from the one before.

    `cuts` is what it left out. `edits` are lines of an edit log, made in the Ctx of the one
    cut's chain. With `charge_lost` an attempt that was under way counts as lost.
    """

    cuts: tuple[Cut, ...] = ()
    edits: str = ""
    charge_lost: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        cuts = [[cut.addr, cut.seq] for cut in self.cuts]
        return {"cuts": cuts, "edits": self.edits, "charge_lost": self.charge_lost}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Beginning:
        """Read the JSON object of `to_json`."""
        cuts = tuple(Cut(*cut) for cut in data["cuts"])
        return Beginning(cuts, data["edits"], data["charge_lost"])


def edit_lines(edits: Mapping[Path, Json]) -> str:
    """Return edits as lines of an edit log."""
    lines = (dump_edit(path, value)[0] for path, value in edits.items())
    return b"".join(lines).decode()


@dataclass(frozen=True, slots=True)
class Stretch:
    """One generation in the history of a run: its entries, and how it began.

    `begun` is the snapshot that it began with. It is None for a first one that began with a
    Ctx, and for one that would begin with another, since later ones have left out more.
    `beginning` is None for the first one.
    """

    run: str
    gen: int
    read: list[Read]
    begun: Snapshot | None = None
    beginning: Beginning | None = None


def in_effect(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return generations, oldest first, without what later ones have left out."""
    found: list[Stretch] = []
    for one in stretches:
        cuts = one.beginning.cuts if one.beginning else ()
        found = [*without(found, cuts), one]
    return found


def without(stretches: Iterable[Stretch], cuts: Sequence[Cut]) -> list[Stretch]:
    """Return generations, oldest first, without what cuts leave out."""
    if not cuts:
        return list(stretches)
    found: list[Stretch] = []
    is_changed = False
    for one in stretches:
        begun = None if is_changed else one.begun
        before, after = list(kept(one.read, ())), list(kept(one.read, cuts))
        found.append(replace(one, read=after, begun=begun))
        is_changed = is_changed or before != after
    return found


def history(stretches: Iterable[Stretch]) -> Iterator[Read]:
    """Yield the entries of all generations, oldest first."""
    return (read for one in stretches for read in one.read)


def ended_places(stretches: Iterable[Stretch]) -> frozenset[str]:
    """Return the places of the steps that have ended in generations."""
    return frozenset(
        event[1]
        for _, content in history(stretches)
        for event in content.events
        if event[0] in STEP_ENDS
    )
