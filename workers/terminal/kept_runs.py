"""`manage.py runs export|delete|prune`: write a run into a file, and delete runs."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from blueprints.command_line import (
    counted_as,
    file_to_write,
    login_name,
    typed,
    whole_number,
)
from blueprints.models import Run
from blueprints.run_file import run_lines
from blueprints.services.retention import runs_ended_before, unfinished_deletions
from workers.fleet.prerequisites import SetupFailed, redis_place
from workers.runs.retention import StillNeeded, delete_run, prune
from workers.wiring import make_store

Told = tuple[dict[str, Any], str]
"""What a verb prints: as JSON, and as text."""


def add_kept_arguments(verb: str, parser: CommandParser) -> None:
    """Declare the arguments of `export` or `prune`."""
    if verb == "export":
        parser.add_argument(
            "-o",
            "--output",
            type=file_to_write,
            metavar="FILE",
            help="the file to write (RUN.jsonl)",
        )
        return
    parser.add_argument(
        "--days",
        type=whole_number(1),
        default=settings.SWARM_RETENTION,
        metavar="N",
        help="runs that ended more than N days ago (SWARM_RETENTION)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="delete nothing, only list those runs",
    )


def export_run(run: Run, options: dict[str, Any]) -> Told:
    """Write a run's file; it is there only when it is whole."""
    not_being_deleted(run)
    path: Path = options["output"] or Path(f"{run.pk}.jsonl")
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(run_lines(run))
        part.replace(path)
    except (OSError, ValueError) as error:
        part.unlink(missing_ok=True)
        raise SetupFailed(f"run {run.pk} was not exported: {error}") from None
    size = path.stat().st_size
    check = typed(f"journal verify --file {quote(str(path))}")
    text = f"run {run.pk} is in {path} ({size} bytes); check it with: {check}"
    return {"run": run.pk, "file": str(path), "bytes": size}, text


def not_being_deleted(run: Run) -> None:
    """Raise SetupFailed for a run a part of which is deleted."""
    if gone := unfinished_deletions().filter(pk=run.pk).first():
        end = typed(f"runs delete {run.pk}")
        raise SetupFailed(
            f"the deletion of run {run.pk} ({gone.deleted_by}) was interrupted: end it"
            f" with: {end}"
        )


def delete_one(run: Run) -> tuple[bool, str]:
    """Delete a run; return whether it is deleted, and the text to print."""
    with redis_place():
        try:
            delete_run(make_store(), run, login_name())
        except StillNeeded as error:
            return False, f"run {run.pk} was not deleted: {error}"
    return True, f"run {run.pk} is deleted"


def prune_runs(options: dict[str, Any]) -> Told:
    """Delete old runs, or only name them."""
    days = options["days"]
    if options["dry_run"]:
        runs = list(runs_ended_before(days).values_list("pk", flat=True))
        count = counted_as(len(runs), "run")
        lines = [*runs, f"{count} ended more than {days} days ago"]
        return {"days": days, "runs": runs}, "\n".join(lines)
    with redis_place():
        pruned = prune(make_store(), days, f"{login_name()}, after {days} days")
    kept = (f"run {run} was not deleted: {why}" for run, why in pruned.kept.items())
    lines = [*kept, f"{counted_as(len(pruned.runs), 'run')} deleted"]
    return {"days": days, "runs": pruned.runs, "kept": pruned.kept}, "\n".join(lines)
