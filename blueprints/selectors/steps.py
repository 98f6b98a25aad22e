"""Read one step of a run: its attempts, what they got, what they gave and why they failed."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from blueprints.models import Attempt, Run, RunEvent, RunGeneration, Step
from blueprints.models.events import stored_bytes
from blueprints.selectors.expanded import Expanded, journaled
from blueprints.selectors.outputs import is_log, log_text, run_outputs
from blueprints.selectors.programs import run_program
from blueprints.selectors.replays import step_home, step_replay
from blueprints.selectors.run_generations import run_at
from blueprints.selectors.run_journals import run_origin
from engine.flow.json_text import load_json
from engine.flow.nodes import Seq
from engine.run.journal.entries import archived_entry
from engine.run.place_names import ANY, PlaceNames
from engine.run.states import FAILED_STEP, OPEN_STEP, StepStatus

ENDS = " passed ", " blocked ", " details "
"""Kinds of journal entries with the output or the input of an attempt."""

_NUMBER: Final = re.compile(r"\[(\d+)\]")


def run_names(run: Run | RunGeneration) -> PlaceNames:
    """Return the names of a run's steps; none for a program that can't be read."""
    try:
        return PlaceNames(run_program(run).flow)
    except ValueError:
        return PlaceNames(Seq(()))


def step_list(run: Run, text: str, names: PlaceNames) -> list[Step]:
    """Return the steps that a text names: failed and lost ones, repeated ones, others.

    The text is a name with or without its visit (`draft[2]`, `draft`), a place, a step id
    or an agent.
    """
    steps = Step.objects.filter(run=run, generation=run.generation).order_by("id")
    place = names.find(text)
    if place is not None and ANY in place:
        start = place.partition(ANY)[0]
        found = [
            step
            for step in steps.filter(place__startswith=start)
            if names.name(step.place).partition("[")[0] == text
        ]
    else:
        found = list(steps.filter(place=text if place is None else place))
    if not found and text.startswith("ST-"):
        found = list(steps.filter(key__startswith=text))
    if not found:
        found = list(steps.filter(agent=text))
    return sorted(found, key=_urgency)


def run_ended_places(run: Run) -> frozenset[str]:
    """Return the places of the steps of a run's generation that have ended by themselves."""
    steps = Step.objects.filter(run=run, generation=run.generation)
    ended = steps.exclude(status__in=[*OPEN_STEP, StepStatus.CANCELLED])
    return frozenset(ended.values_list("place", flat=True))


def run_kept_steps(run: Run) -> tuple[int, int]:
    """Return how many steps a run's generation has kept, and from how many that ended."""
    origin = run_origin(run)
    before = origin or run_at(run.pk, run.generation - 1)
    if before is None:
        return 0, 0
    ended = run_ended_places(before)
    if origin is None:
        return 0, len(ended)
    # They are rows of their own, with the times of those that they were made from.
    made, kept = (
        set(
            Step.objects.filter(run=one, generation=one.generation).values_list(
                "place", "finished_at"
            )
        )
        for one in (before, run)
    )
    return sum(place in ended for place, _ in made & kept), len(ended)


def _urgency(step: Step) -> tuple[bool, bool, list[int]]:
    """Return a sort key: failed steps, repeated ones, then all by lane and iteration."""
    numbers = [int(number) for number in _NUMBER.findall(step.place)]
    return step.status not in FAILED_STEP, step.attempts < 2, numbers


def step_report(run: Run, step: Step, names: PlaceNames) -> dict[str, Any]:
    """Return a step with its attempts and its log as one JSON object.

    The `input` of an attempt is its JSON value, or a text that is its beginning where
    `input_size` is larger than what is kept. Inputs that the journal does not keep, and
    the Ctx before and after the step, come from a replay; `missing` says what is not there
    and why. `input_size` is None where no input is known. A step that an earlier generation
    has made, or the run from which this one was forked, is shown as it was there.
    """
    attempts = list(Attempt.objects.filter(step=step).order_by("number"))
    times = [at for one in attempts for at in (one.finished_at, one.started_at) if at]
    home = step_home(run, step.place, times)
    missing: dict[str, str] = {}
    ends = [one.finished_at for one in attempts if one.finished_at]
    kept = _kept(home, step, ends, missing)
    replayed = _replayed(home, step.place, times, missing)
    return {
        "run": run.pk,
        "name": names.name(step.place),
        "place": step.place,
        "step_id": step.key,
        "agent": step.agent,
        "kind": step.kind,
        "status": step.status,
        "seconds": seconds_of(step),
        "attempts": [
            {
                "number": one.number,
                "status": one.status,
                "started_at": _iso(one.started_at),
                "seconds": seconds_of(one),
                "worker": one.worker,
                "error": one.error,
                "stats": one.stats,
                "input": replayed["input"].value,
                "input_size": replayed["input"].size,
                "traceback": "",
                "output": None,
                **kept.get(one.number, {}),
            }
            for one in attempts
        ],
        "ctx_before": replayed["before"].value,
        "ctx_after": replayed["after"].value,
        "missing": missing,
        "log": [
            {"at": one.at.isoformat(), "attempt": one.attempt, "text": log_text(one)}
            for one in run_outputs(home)
            if one.place == step.place and is_log(one)
        ],
    }


def _replayed(
    run: Run, place: str, times: list[datetime], missing: dict[str, str]
) -> dict[str, Expanded]:
    """Return input, before and after of a step; note in `missing` what is not there."""
    try:
        step = step_replay(run, place, times)
        found = {"input": step.input, "before": step.before, "after": step.after}
    except ValueError as error:
        found = dict.fromkeys(("input", "before", "after"), Expanded(why=str(error)))
    missing.update({name: one.why for name, one in found.items() if one.why})
    return found


def seconds_of(row: Run | Step | Attempt) -> float | None:
    """Return how long a run, a step or an attempt took, None before its end."""
    if row.started_at is None or row.finished_at is None:
        return None
    return round((row.finished_at - row.started_at).total_seconds(), 6)


def _kept(
    run: Run, step: Step, ends: list[datetime], missing: dict[str, str]
) -> dict[int, dict[str, Any]]:
    """Return by number what the journal keeps of attempts that ended at these times.

    Note in `missing` an output that can't be read.
    """
    entries = RunEvent.objects.filter(
        run=run, generation=run.generation, at__in=ends
    ).order_by("number")
    found: dict[int, dict[str, Any]] = {}
    for kinds, data in entries.values_list("kinds", "data"):
        if not any(kind in kinds for kind in ENDS):
            continue
        content = archived_entry(stored_bytes(data))
        for event in content.events:
            match event:
                case ["passed" | "blocked", step.place, number, _, value, *_]:
                    output = journaled(value, content.mark)
                    found.setdefault(number, {})["output"] = output.value
                    if output.why:
                        missing["output"] = output.why
                case ["details", step.place, number, given, size, shown, *_]:
                    found.setdefault(number, {}).update(
                        input=kept_value(given, size),
                        input_size=None if size < 0 else size,
                        traceback=shown,
                    )
    return found


def kept_value(given: str, size: int) -> Any:
    """Return a kept input as a value, or as a text where a part of it is missing."""
    return load_json(given) if 0 <= size == len(given.encode()) else given


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
