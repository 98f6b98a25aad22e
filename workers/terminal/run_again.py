"""What `runs rerun` and `runs fork` read, do and print, and how a run shows what it was."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from blueprints.authoring.kept import load_kept, refuse_unlaunchable
from blueprints.command_line import typed
from blueprints.loaders.documents import DocumentInvalid
from blueprints.models import BlueprintVersion, Run
from blueprints.parameters import ArgumentRefused, read_sets
from blueprints.preflight import compile_here, missing_parts
from blueprints.selectors.programs import run_program
from blueprints.selectors.run_generations import run_generations
from blueprints.selectors.runs import run_get
from blueprints.selectors.steps import run_kept_steps
from engine.blueprint import BlueprintInvalid, Program
from engine.store.redis import RedisStore
from workers.fleet.prerequisites import SetupFailed, redis_place
from workers.runs.again import AgainRefused, Place, StartsLater, fork, rerun
from workers.terminal.chosen_steps import STEP_HELP, chosen_place
from workers.terminal.kept_runs import Told
from workers.wiring import make_store


def add_again_arguments(verb: str, parser: ArgumentParser) -> None:
    """Declare the place of a rerun or of a fork, and what is different from there on."""
    if verb == "fork":
        _add_fork_arguments(parser)
        return
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--from", metavar="STEP", dest="step", help=f"begin at {STEP_HELP}"
    )
    place.add_argument(
        "--failed",
        action="store_true",
        help="run what has failed again and keep the rest",
    )


def _add_fork_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        metavar="STEP",
        dest="step",
        required=True,
        help=f"begin at {STEP_HELP}",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=VALUE",
        dest="sets",
        help="one value of the Ctx at that place: JSON, or else text",
    )
    parser.add_argument(
        "--blueprint",
        metavar="NAME@VERSION",
        help="go on with this version, which must do the same up to that place",
    )


def generations_json(run: Run) -> dict[str, Any]:
    """Return the generations of a run, and its origin if it is a fork."""
    run = run_get(run.pk)
    rows = [
        {
            "generation": one.generation,
            "status": one.status,
            "reason": one.reason,
            "started_at": one.started_at and one.started_at.isoformat(),
            "finished_at": one.finished_at and one.finished_at.isoformat(),
        }
        for one in run_generations(run)
    ]
    origin = {"run": run.origin_id, "place": run.origin_place}
    return {"generations": rows, "origin": origin if run.origin_place else None}


def generation_lines(run: Run) -> Iterator[str]:
    """Yield a line for each generation if there are several, and one for a fork."""
    rows = run_generations(run_get(run.pk))
    for one in rows if len(rows) > 1 else ():
        why = f", {one.reason}" if one.reason else ""
        yield f"generation {one.generation}: {one.status}{why}"
    if run.origin_place:
        origin = run.origin_id or "a run that was deleted"
        yield f"forked from {origin} at {run.origin_place}"


def rerun_run(run: Run, options: Mapping[str, Any]) -> Told:
    """Run an ended run again; return what to print."""
    program, text = _program(run), options["step"]
    step = "" if text is None else chosen_place(run, text)
    place = Place(step, only_failed=options["failed"])
    _check_parts(program)
    with redis_place():
        return _begun(lambda store: rerun(store, run, place))


def fork_run(run: Run, options: Mapping[str, Any]) -> Told:
    """Fork a run at a step; return what to print."""
    before = _program(run)
    step = chosen_place(run, options["step"])
    program, version = _version(options["blueprint"])
    _check_parts(program or before)
    try:
        edits = read_sets(options["sets"])
    except ArgumentRefused as error:
        raise SetupFailed(str(error)) from None
    place = Place(step, edits=edits, program=program, version=version)
    with redis_place():
        return _begun(lambda store: fork(store, run, place))


def _begun(begin: Callable[[RedisStore], Run]) -> Told:
    store, why = make_store(), ""
    try:
        row = begin(store)
    except AgainRefused as error:
        raise SetupFailed(f"nothing was changed: {error}") from None
    except StartsLater as error:
        row, why = error.run, str(error)
    kept, ended = run_kept_steps(row)
    data = {
        "run": row.pk,
        "generation": row.generation,
        "status": row.status,
        "kept": kept,
        "dropped": ended - kept,
    }
    how = f"generation {row.generation}"
    if row.origin_place and row.generation == 1:
        how = f"forked from {row.origin_id}"
    text = f"run {row.pk} is {row.status} ({how}, {kept} of {ended} ended steps kept)"
    watch = typed(f"runs watch {row.pk}")
    return data, f"{text}{why and f'; {why}'}; follow it with: {watch}"


def _program(run: Run) -> Program:
    """Return the program of a run; raise SetupFailed for one that can't be read."""
    try:
        return run_program(run)
    except ValueError as error:
        raise SetupFailed(
            f"nothing was changed: the program of run {run.pk} is {error}"
        ) from None


def _version(text: str | None) -> tuple[Program | None, BlueprintVersion | None]:
    """Return the program of a version that is kept, and the version."""
    if text is None:
        return None, None
    try:
        loaded = load_kept(text)
        version = refuse_unlaunchable(loaded)
        return compile_here(loaded.document), version
    except DocumentInvalid as error:
        raise SetupFailed(f"nothing was changed: {error}") from None
    except BlueprintInvalid as error:
        found = "; ".join(str(one) for one in error.diagnostics[:3])
        raise SetupFailed(f"nothing was changed: {text} can't run: {found}") from None


def _check_parts(program: Program) -> None:
    """Raise SetupFailed if this host lacks a part that the program needs."""
    if missing := missing_parts(program):
        found = "; ".join(str(one) for one in missing[:3])
        raise SetupFailed(f"nothing was changed: {found}")
