"""A branch of a run: its snapshot at a place, from which another generation begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from engine.blueprint.program import Program
from engine.flow import FlowError
from engine.output_store import OutputStore
from engine.run.replay.cuts import Cut, Cuts
from engine.run.replay.install import generation_from
from engine.run.replay.lineage import Beginning, Stretch
from engine.run.replay.replayer import Replay
from engine.run.replay.snapshot import Snapshot
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.addresses import chords_around
from engine.store.base import JournalEntry

LOST_LANE: Final = (
    "the place is in a lane of a fanout that another lane has decided, so what it does"
    " again would change nothing: begin at a step of the deciding lane, or before the"
    " fanout"
)
OTHER_VERSION: Final = (
    "the run began at a place of a run that was deleted, so another version can't do the"
    " same up to there: go on with the version that it has"
)
NOTHING_LEFT: Final = "the run has ended, and none of its steps would run again"


class BranchRefused(Exception):
    """A run can't begin again at a place; the text says why and what to do."""


def branch(
    program: Program,
    stretches: Sequence[Stretch],
    beginning: Beginning,
    *,
    ctx: Any = None,
    outputs: OutputStore | None = None,
) -> Snapshot:
    """Return the snapshot of a run after its generations, as another one begins with it.

    The generations are those of `in_effect`, `without` what the cuts of the beginning
    leave out. The first one began with the merged initial `ctx` or with a snapshot.
    `program` may be another version, as long as it does the same up to the cuts. Large
    values are read from `outputs`. Raise BranchRefused, and ReplayError where the program
    does not do what the journal says.
    """
    start = _first_replayed(program, stretches)
    begun = stretches[start].begun
    if begun is not None and begun.program_id != program.program_id:
        raise BranchRefused(OTHER_VERSION)
    made = Replay(program, ctx, snapshot=begun, outputs=outputs)
    for number in range(start, len(stretches)):
        if number > start:
            begun = _next(made, stretches[number], beginning.cuts)
            made = Replay(program, snapshot=begun, outputs=outputs)
        for entry, _ in stretches[number].read:
            made.apply(_of_program(entry, program))
    kept = made.state.kept
    for cut in beginning.cuts:
        _check_alive(kept, cut)
    if kept.status in FINAL_RUN:
        raise BranchRefused(NOTHING_LEFT)
    return _cut_off(made, beginning)


def _first_replayed(program: Program, stretches: Sequence[Stretch]) -> int:
    """Return the newest generation that still begins with the snapshot it began with."""
    return max(
        (
            number
            for number, one in enumerate(stretches)
            if one.begun is not None and one.begun.program_id == program.program_id
        ),
        default=0,
    )


def _next(ended: Replay, one: Stretch, cuts: Sequence[Cut]) -> Snapshot:
    """Return the snapshot with which the generation began that followed."""
    beginning = one.beginning
    assert beginning is not None  # noqa: S101 - only the first one has none
    index = Cuts(cuts)
    if beginning.edits and any(
        cut not in cuts and index.leave_out(cut.addr, cut.seq) for cut in beginning.cuts
    ):
        # Its place will be reached anew.
        beginning = replace(beginning, edits="")
    return generation_from(
        _cut_off(ended, beginning),
        one.run,
        one.gen,
        charge_lost=beginning.charge_lost,
    )


def _cut_off(made: Replay, beginning: Beginning) -> Snapshot:
    """Return a snapshot that goes on, with the edits made."""
    if beginning.edits:
        [cut] = beginning.cuts
        try:
            made.moves.edit(cut.addr, beginning.edits.encode())
        except FlowError as error:
            raise BranchRefused(f"the edits do not fit there: {error}") from None
    return replace(made.snapshot(), status=RunStatus.RUNNING.value)


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
