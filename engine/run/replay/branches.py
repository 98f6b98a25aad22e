"""A branch of a run: its snapshot at a place, from which another generation begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from engine.blueprint.program import Program
from engine.flow.json_text import Json
from engine.flow.path import Path
from engine.run.chain.ctx import dump_edit
from engine.run.replay.cuts import Cut
from engine.run.replay.replayer import Replay
from engine.run.replay.snapshot import ChainSnapshot, Snapshot
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.addresses import chords_around, lane_place, split_lane
from engine.store.base import JournalEntry
from engine.store.record import ChainState

LOST_LANE: Final = (
    "the place is in a lane of a fanout that another lane has decided, so what it does"
    " again would change nothing: begin at a step of the deciding lane, or before the"
    " fanout"
)
OTHER_VERSION: Final = (
    "this generation began at a place of an earlier one, so another version can't do the"
    " same up to there: fork from a step that ran in the earlier generation"
)
NOTHING_LEFT: Final = "the run has ended, and none of its steps would run again"


class BranchRefused(Exception):
    """A run can't begin again at a place; the text says why and what to do."""


def branch(
    program: Program,
    entries: Iterable[JournalEntry],
    cuts: Sequence[Cut],
    *,
    ctx: Any = None,
    base: Snapshot | None = None,
    edits: Mapping[Path, Json] | None = None,
) -> Snapshot:
    """Return the snapshot of a run without what followed from the places of cuts.

    The entries are those that the cuts keep of one generation (`kept`), which began with
    the merged initial `ctx` or the snapshot `base`. The `edits` are made in the Ctx of the one cut's chain. `program`
    may be another version, as long as it does the same up to the places. Raise
    BranchRefused, and ReplayError where the program does not do what the journal says.
    """
    if base is not None and base.program_id != program.program_id:
        raise BranchRefused(OTHER_VERSION)
    made = Replay(program, ctx, snapshot=base)
    for entry in entries:
        made.apply(_of_program(entry, program))
    found = made.snapshot()
    for cut in cuts:
        _check_alive(found, cut)
    if found.status in FINAL_RUN:
        raise BranchRefused(NOTHING_LEFT)
    if edits:
        [cut] = cuts
        found.chains[cut.addr] = _edited(found, cut.addr, edits)
    return replace(found, status=RunStatus.RUNNING.value)


def _of_program(entry: JournalEntry, program: Program) -> JournalEntry:
    """Return the first entry of a run as if it had started with this program."""
    if entry.number != 1 or b'"run_started"' not in entry.data:
        return entry
    data = orjson.loads(entry.data)
    data["e"][0][1] = program.program_id
    return replace(entry, data=orjson.dumps(data))


def _check_alive(found: Snapshot, cut: Cut) -> None:
    """Raise BranchRefused if the chain of a cut can't go on."""
    if any(
        (chord := found.chords.get(around)) is None or chord.decided
        for around in chords_around(cut.addr)
    ):
        raise BranchRefused(LOST_LANE)


def _edited(found: Snapshot, addr: str, edits: Mapping[Path, Json]) -> ChainSnapshot:
    """Return a chain with edits in its Ctx; a lane without a record gets one."""
    one = found.chains.get(addr)
    if one is None:
        chord, lane = split_lane(addr)
        spec = found.chords[chord].spec
        place = lane_place(spec.place, lane)
        one = ChainSnapshot(
            addr, 0, ChainState.PENDING, 0, 0, place, spec.queue, spec.timeout_ms,
            b"c", "", b"",
        )  # fmt: skip
    lines = b"".join(dump_edit(path, value)[0] for path, value in edits.items())
    return replace(one, log=one.log + lines)
