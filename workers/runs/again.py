"""Begin a run again: its next generation (rerun), or another run from a place (fork).

Everything is read, compiled and checked before a row changes. If the process dies after
that, the steward starts the generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from blueprints.agent_sources import source_hashes
from blueprints.conf import output_store
from blueprints.models import BlueprintVersion, Run
from blueprints.models.readable_json import readable
from blueprints.selectors.programs import run_program
from blueprints.selectors.run_journals import JournalGap, run_stretches
from blueprints.selectors.steps import run_ended_places
from blueprints.services.installations import installation_get
from blueprints.services.outputs import ensure_outputs
from blueprints.services.programs import program_keep
from blueprints.services.run_generations import (
    OVER,
    run_fork_create,
    run_generation_open,
    run_snapshot_keep,
    run_steps_copy,
)
from engine.blueprint import Program
from engine.flow.json_text import Json
from engine.flow.path import Path
from engine.ids import new_id
from engine.output_store import OutputMissing, OutputsAway
from engine.run.journal.entries import BadEntry
from engine.run.replay import ReplayError, Snapshot
from engine.run.replay.branches import BranchRefused, branch
from engine.run.replay.cuts import Cut, find_cut
from engine.run.replay.failures import failed_cuts
from engine.run.replay.install import generation_from
from engine.run.replay.lineage import (
    Beginning,
    Stretch,
    edit_lines,
    ended_places,
    history,
    in_effect,
    without,
)
from engine.run.replay.recorded import RemadeOutputs
from engine.store.base import StoreFull
from engine.store.redis import RedisStore
from workers.runs.launch import NOT_OURS, start_run
from workers.runs.reconciling import reconcile

UNSOUND: Final = (
    *(BranchRefused, ReplayError, JournalGap, BadEntry, ValueError),
    *(OutputMissing, OutputsAway),
)
NOTHING_FAILED: Final = (
    "neither it nor a lane of it has ended with an error, but for those that the flow"
    " caught; run all of it again without --failed, or begin at a step with --from"
)
OF_A_DELETED_RUN: Final = (
    "the step was made by a run that was deleted; begin at a step that came after it, or"
    " run all of it again"
)


class AgainRefused(Exception):
    """A run can't begin again; the text says why and what to do."""


class StartsLater(Exception):
    """A generation is open, and the steward starts it later; the text says when."""

    def __init__(self, run: Run, why: StoreFull | OutputsAway) -> None:
        """Keep the row of the generation."""
        when = (
            "there is room" if isinstance(why, StoreFull) else "the outputs are there"
        )
        super().__init__(f"it starts when {when}: {why}")
        self.run = run


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run begins again: at a step, at what has failed, or at its start.

    `edits` are made in the Ctx of the step's chain. `program` and `version` replace those
    of the run.
    """

    step: str = ""
    only_failed: bool = False
    edits: Mapping[Path, Json] = field(default_factory=dict)
    program: Program | None = None
    version: BlueprintVersion | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """What is kept of a run."""

    beginning: Beginning
    snapshot: Snapshot
    ended: frozenset[str]
    """The places of its steps that have ended."""


def rerun(store: RedisStore, run: Run, place: Place) -> Run:
    """Open the next generation of an ended run and start it.

    Raise AgainRefused before anything has changed, else StartsLater.
    """
    begun = _prepared(store, run, place)
    reason = "rerun"
    if place.step or place.only_failed:
        reason = f"rerun from {place.step}" if place.step else "rerun of what failed"
    try:
        with transaction.atomic():
            row = run_generation_open(run, reason, **_columns(run, place))
            _keep(row, begun, run)
    except ValueError as error:
        raise AgainRefused(str(error)) from None
    return _started(store, row)


def fork(store: RedisStore, run: Run, place: Place) -> Run:
    """Start a new run from a step of another one.

    Raise AgainRefused before anything has changed, else StartsLater.
    """
    begun = _prepared(store, run, place)
    with transaction.atomic():
        columns = _columns(run, place)
        row = run_fork_create(run, place.step, new_id("R"), **columns)
        _keep(row, begun, run)
    return _started(store, row)


def _prepared(store: RedisStore, run: Run, place: Place) -> Branch | None:
    """Return what is kept of a run, None if it begins at its start."""
    if run.status not in OVER:
        raise AgainRefused(
            f"run {run.pk} is {run.status}; only an ended run can begin again: cancel it"
            " first"
        )
    if run.unreplayable and (place.step or place.only_failed):
        raise AgainRefused(f"run {run.pk} can't be rebuilt: {run.unreplayable}")
    try:
        reconcile(store)
        ensure_outputs()
    except (StoreFull, *NOT_OURS) as error:
        raise AgainRefused(str(error)) from None
    try:
        if run_program(run).program_id != run.program_id:
            raise ValueError("its program is not the one whose hash it has")
        if not place.step and not place.only_failed:
            readable(run.ctx)
            return None
        return _branch(run, place)
    except UNSOUND as error:
        raise AgainRefused(f"run {run.pk} can't begin again there: {error}") from None


def _branch(run: Run, place: Place) -> Branch:
    found, first = run_stretches(run)
    stretches = in_effect(found)
    cuts = tuple(_cuts(stretches, place))
    left, beginning = without(stretches, cuts), Beginning(cuts, edit_lines(place.edits))
    program = place.program or run_program(run)
    ctx = readable(first.ctx)
    outputs = RemadeOutputs(output_store())
    snapshot = branch(program, left, beginning, ctx=ctx, outputs=outputs)
    outputs.ensure(snapshot.outputs())
    ended = ended_places(left)
    if stretches[0].begun is not None:
        # Nothing else tells which steps a run had made that was deleted.
        ended |= run_ended_places(run) - ended_places(stretches)
    return Branch(beginning, snapshot, ended)


def _cuts(stretches: list[Stretch], place: Place) -> list[Cut]:
    """Return where a run is cut off; raise BranchRefused if nothing has been there."""
    if place.only_failed:
        cuts = failed_cuts(history(stretches), stretches[0].begun)
        if not cuts:
            raise BranchRefused(NOTHING_FAILED)
        return cuts
    cut = find_cut(history(stretches), place.step)
    if cut is None and stretches[0].begun is not None:
        raise BranchRefused(OF_A_DELETED_RUN)
    if cut is None:
        raise BranchRefused(f"no step has begun at {place.step}")
    return [cut]


def _columns(run: Run, place: Place) -> dict[str, Any]:
    """Return the columns of the row that begins now."""
    program = place.program or run_program(run)
    columns: dict[str, Any] = {
        "epoch": installation_get().epoch,
        "deadline_at": timezone.now() + _time_given(run),
        "sources": {
            **run.sources,
            "functions": source_hashes(program.agents.values()),
        },
    }
    if place.program is not None:
        columns["program_id"] = program_keep(place.program)
        columns["version_id"] = place.version.pk if place.version else None
    return columns


def _time_given(run: Run) -> timedelta:
    """Return how long the generation before might take."""
    since: datetime | None = run.started_at or run.opened_at or run.created_at
    if run.deadline_at is None or since is None or run.deadline_at <= since:
        return timedelta(seconds=settings.SWARM_RUN_DEADLINE)
    return run.deadline_at - since


def _keep(row: Run, begun: Branch | None, origin: Run) -> None:
    if begun is None:
        return
    snapshot = generation_from(begun.snapshot, row.pk, row.generation)
    how = begun.beginning.to_json()
    run_snapshot_keep(row, snapshot, origin, how)
    run_steps_copy(row, origin, begun.ended)


def _started(store: RedisStore, row: Run) -> Run:
    """Start the generation of a row; what is full or away lets the steward do it later."""
    try:
        start_run(store, row)
    except (StoreFull, OutputsAway) as error:
        raise StartsLater(row, error) from None
    row.refresh_from_db()
    return row
