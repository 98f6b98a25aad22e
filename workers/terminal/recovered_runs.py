"""`manage.py runs recover`: rebuild runs that Redis has lost from the archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import CommandParser

from blueprints.command_line import typed
from blueprints.models import Run
from blueprints.selectors.runs import run_find
from engine.output_store import OutputsAway
from engine.run.states import RunStatus
from engine.store.base import StoreFull
from engine.store.redis import RedisStore
from workers.fleet.prerequisites import SetupFailed, redis_place
from workers.runs.recovery import Unrecoverable, is_lost, lost_runs, recover_run
from workers.terminal.kept_runs import Told
from workers.terminal.texts import RUN_HELP
from workers.wiring import make_store

NONE_LOST: Final = "no run waits for its recovery"
NOT_LOST: Final = (
    "run {run} is {status}: only a run that Redis has lost can be recovered"
)

NOT_YET: Final = "run {run} is not recovered yet: {why}; a steward tries it again"
CHANGED: Final = "run {run} is {status} by now, and was not recovered"


def add_recover_arguments(verb: str, parser: CommandParser) -> None:
    """Add the arguments of `runs recover`, the only such verb."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("run", metavar="RUN", nargs="*", default=[], help=RUN_HELP)
    which.add_argument(
        "--all", action="store_true", help="every run that waits for its recovery"
    )


def recover_runs(options: Mapping[str, Any]) -> tuple[bool, Told]:
    """Recover the runs that the options name; return whether all are, and what to print."""
    runs = list(lost_runs()) if options["all"] else _named(options["run"])
    with redis_place():
        store = make_store()
        rows = [_recovered(store, run) for run in runs]
    lines = [row["error"] or _line(row) for row in rows] or [NONE_LOST]
    return not any(row["error"] for row in rows), ({"runs": rows}, "\n".join(lines))


def _named(texts: list[str]) -> list[Run]:
    """Return the runs that texts name; raise SetupFailed before any is changed."""
    try:
        runs = [run_find(text) for text in texts]
    except ValueError as error:
        raise SetupFailed(f"nothing was recovered: {error}") from None
    for run in runs:
        if not is_lost(run):
            text = NOT_LOST.format(run=run.pk, status=run.status)
            raise SetupFailed(f"nothing was recovered: {text}")
    return runs


def _recovered(store: RedisStore, run: Run) -> dict[str, Any]:
    error, before = "", run.generation
    try:
        run = recover_run(store, run)
        if run.generation == before:
            error = CHANGED.format(run=run.pk, status=run.status)
    except Unrecoverable as fault:
        error = str(fault)
        run.refresh_from_db()
    except (StoreFull, OutputsAway) as fault:
        run.refresh_from_db()
        # A steward starts a generation that is open.
        if run.status != RunStatus.PENDING:
            error = NOT_YET.format(run=run.pk, why=fault)
    return {
        "run": run.pk,
        "generation": run.generation,
        "status": run.status,
        "error": error,
    }


def _line(row: Mapping[str, Any]) -> str:
    watch = typed(f"runs watch {row['run']}")
    text = f"run {row['run']} is {row['status']}, recovered as generation"
    return f"{text} {row['generation']}; follow it with: {watch}"
