"""`manage.py runs list|show|pause|cancel|resume|forget`: what was, and what is to be."""

import json
import sys
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, transaction
from django.utils import timezone
from rich.table import Table

from blueprints.command_line import SwarmCommand, refuse_unknown_verb, typed
from blueprints.conf import lua_host
from blueprints.models import Run, Step
from blueprints.models.readable_json import readable
from blueprints.selectors.outputs import log_text, run_log
from blueprints.selectors.runs import run_get, run_list, run_report, run_step_counts
from engine.blueprint import BlueprintInvalid, Program
from engine.run.outputs import shown_content
from engine.run.states import FINAL_RUN, OPEN_RUN, OPEN_STEP, RunStatus, StepStatus
from engine.store.redis import RedisStore
from engine.visible import visible
from workers.console import VisibleConsole
from workers.fleets import SetupFailed, database_ready, queues_of, redis_place
from workers.live_text import SHOWN_CONTENT, duration, one_line, stage_text
from workers.management.commands.run import (
    add_session_arguments,
    look_for_parts,
    refuse_blueprint,
)
from workers.runtime import epoch, make_store
from workers.session import FAILED, REFUSED, Session, resume_line

VERBS = ("list", "show", "pause", "cancel", "resume", "forget")
NEWEST = 20
SHOWN_STEPS = 200
SHOWN_LINES = 20
SHOWN_PARTS = 40
JSON_LINES = 1000
NOT_PAUSED = "; nothing was paused"
WHY = "cancelled with `manage.py runs cancel`"


class Command(SwarmCommand):
    """Lists, shows, pauses, cancels, resumes and forgets runs."""

    help = (
        "List the newest runs, show one, pause or cancel one, carry on one that was"
        " interrupted or paused, or let Redis forget one that has ended."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Tell the nearest verb of a misspelt one, which the parser does not."""
        refuse_unknown_verb(argv, VERBS)
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare a subcommand each."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        listing = verbs.add_parser("list", help=f"the newest {NEWEST} runs")
        show = verbs.add_parser("show", help="one run with its steps")
        cancel = verbs.add_parser("cancel", help="end a run")
        pause = verbs.add_parser("pause", help="begin no more steps until resume")
        forget = verbs.add_parser(
            "forget", help="free what Redis keeps of a run whose result was too large"
        )
        for sub in (listing, show, cancel, pause, forget):
            sub.add_argument("--json", action="store_true", help="JSON for programs")
        resume = verbs.add_parser(
            "resume", help="carry on a run that Ctrl-C or pause left"
        )
        add_session_arguments(resume)
        for sub in (show, cancel, pause, forget, resume):
            sub.add_argument("run", metavar="RUN", help="a run's id, R-...")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one of them; errors are told in a line."""
        try:
            database_ready()
            if options["verb"] == "list":
                list_runs(as_json=options["json"])
                return
            run = find_run(options["run"])
            match options["verb"]:
                case "show":
                    show_run(run, as_json=options["json"])
                case "cancel":
                    sys.exit(cancel_run(run, as_json=options["json"]))
                case "pause":
                    sys.exit(pause_run(run, as_json=options["json"]))
                case "forget":
                    sys.exit(forget_run(run, as_json=options["json"]))
                case _:
                    sys.exit(resume_run(run, options))
        except SetupFailed as error:
            raise CommandError(str(error), returncode=REFUSED) from None
        except redis.RedisError as error:
            raise CommandError(f"Redis failed: {error}", returncode=REFUSED) from None
        except DatabaseError as error:
            reason = str(error).strip().partition("\n")[0]
            raise CommandError(
                f"the database failed: {reason}", returncode=REFUSED
            ) from None


def find_run(text: str) -> Run:
    """Return a run by its id; SetupFailed when there is none."""
    try:
        return run_get(text)
    except ValueError as error:
        raise SetupFailed(str(error)) from None
    except Run.DoesNotExist:
        raise SetupFailed(
            f"no run {text} in this database: `{typed('runs list')}` shows what there is"
        ) from None


def table(*columns: str) -> Table:
    """Return an empty table without lines."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(name, overflow="fold" if name == "says" else "ignore")
    return made


def console() -> VisibleConsole:
    """Return where tables go; a pipe is as wide as it needs to be."""
    wide = None if sys.stdout.isatty() else 220
    return VisibleConsole(sys.stdout, width=wide, markup=False)


def list_runs(*, as_json: bool) -> None:
    """Print the newest runs."""
    now = timezone.now()
    rows = []
    newest = list(run_list()[:NEWEST])
    counts = run_step_counts(newest)
    for run in newest:
        rows.append(
            {
                "run": run.pk,
                "status": run.status,
                "blueprint": run.task.blueprint_id,
                "age_s": round((now - run.created_at).total_seconds(), 1),
                "steps": counts[run.pk],
            }
        )
    if as_json:
        print(json.dumps({"items": rows}))
        return
    if not rows:
        print(f"no runs yet: {typed('run FILE')} starts one")
        return
    made = table("run", "status", "blueprint", "age", "steps")
    for row in rows:
        made.add_row(
            row["run"],
            row["status"],
            visible(row["blueprint"]),
            duration(row["age_s"]),
            str(row["steps"]),
        )
    console().print(made)


def show_run(run: Run, *, as_json: bool) -> None:
    """Print a run, its steps, what they say and how it ended."""
    report = run_report(run)
    if as_json:
        log, total = run_log(run, newest=JSON_LINES)
        lines = [
            {"at": s.at.isoformat(), "place": s.place, "text": log_text(s)} for s in log
        ]
        report |= {"log": lines, "log_total": total}
        print(json.dumps(report, ensure_ascii=False))
        return
    print(f"run {run.pk}  {run.status}  {run.task.blueprint_id}")
    made = table("place", "agent", "kind", "status", "attempts", "time", "says")
    for step in report["steps"][:SHOWN_STEPS]:
        taken = step["seconds"]
        made.add_row(
            # As it is shown, so that the columns are as wide as that.
            visible(step["place"]),
            visible(step["agent"]),
            step["kind"],
            step["status"],
            str(step["attempts"]),
            "" if taken is None else duration(taken),
            _says(step),
        )
    if report["steps"]:
        console().print(made)
    more = len(report["steps"]) - SHOWN_STEPS
    if more > 0:
        print(f"... and {more} more steps: --json has them all")
    show_parts(report["steps"][:SHOWN_STEPS])
    show_log(run)
    if report["usage"]:
        used = ", ".join(f"{name} {n}" for name, n in sorted(report["usage"].items()))
        print(f"used by all attempts: {used}")
    if report["ctx"] is not None:
        print(json.dumps(report["ctx"], indent=2, ensure_ascii=False))
    if error := report["error"]:
        print(f"{error.get('kind')}: {error.get('text')}")


def _says(step: dict[str, Any]) -> str:
    """Return a step's error, or the stage and note of one that is under way."""
    if step["error"] or step["status"] not in OPEN_STEP:
        return one_line(step["error"], 200)
    return one_line(stage_text(step["stage"], step["note"]), 200)


def show_parts(steps: list[dict[str, Any]]) -> None:
    """Print the parts that steps staged, and who wrote their finals."""
    lines = [
        f"  part   {step['place']}  {name}: {shown_content(content, SHOWN_CONTENT)}"
        for step in steps
        for name, content in step["parts"].items()
    ]
    lines += [
        f"  final  {step['place']}  by {step['final_by']}"
        for step in steps
        if step["final_by"]
    ]
    for line in lines[:SHOWN_PARTS]:
        print(line)
    if len(lines) > SHOWN_PARTS:
        print(f"... and {len(lines) - SHOWN_PARTS} more: --json has them all")


def show_log(run: Run) -> None:
    """Print the newest log lines of a run's steps."""
    lines, total = run_log(run, newest=SHOWN_LINES)
    if total > len(lines):
        print(f"the last {len(lines)} of {total} log lines (--json has more):")
    for said in lines:
        text = one_line(log_text(said), 300)
        print(f"  {said.at:%H:%M:%S}  {said.place}  {text}")


def tell(run: Run, text: str, *, as_json: bool) -> None:
    """Print how a run stands now, for a person or a program."""
    print(json.dumps({"run": run.pk, "status": run.status}) if as_json else text)


def pause_run(run: Run, *, as_json: bool) -> int:
    """Let a run begin no more steps; those under way end and their results count."""
    done = False
    if run.status in (RunStatus.RUNNING, RunStatus.PAUSED):
        with redis_place():
            store = make_store()
            head = store.head(run.pk)
            answer = store.pause(run.pk)
        if answer == "gone" or head is None:
            raise SetupFailed(lost_text(run))
        done = answer == "ok"
        if done:
            note_pause(run, head.number)
        run.refresh_from_db()
    if done:
        # The archive may have yet to write so.
        run.status = RunStatus.PAUSED
    text = f"run {run.pk} is {run.status}"
    text += f"; carry it on with: {resume_line(run.pk)}" if done else NOT_PAUSED
    tell(run, text, as_json=as_json)
    return 0 if done else FAILED


def note_pause(run: Run, before: int) -> None:
    """Write a pause into a run's row, where no steward may be there to archive it.

    `before` is the number of a journal entry before the pause. What is archived beyond
    it may be the resume that followed: then the row is the archive's.
    """
    Run.objects.filter(
        pk=run.pk, status=RunStatus.RUNNING, archived_number__lte=before
    ).update(status=RunStatus.PAUSED)


def forget_run(run: Run, *, as_json: bool) -> int:
    """Remove the keys of a run that has ended and is archived to its end."""
    if run.status not in FINAL_RUN:
        text = (
            f"run {run.pk} is {run.status}; only a run that has ended can be forgotten"
        )
        tell(run, text, as_json=as_json)
        return FAILED
    with redis_place():
        store = make_store()
        store.remove_all([(run.pk, run.archived_number)])
        kept = store.head(run.pk) is not None
    text = f"Redis keeps nothing of run {run.pk}; its history stays in the database"
    if kept:
        text = f"run {run.pk} is not archived to its end yet; nothing was removed"
    tell(run, text, as_json=as_json)
    return FAILED if kept else 0


def cancel_run(run: Run, *, as_json: bool) -> int:
    """End a run: first where it lives, then in the database."""
    if run.status not in FINAL_RUN:
        with redis_place():
            answer = make_store().finish(run.pk, RunStatus.CANCELLED, WHY)
        if answer in ("ok", RunStatus.CANCELLED):
            note_cancelled(run)
        run.refresh_from_db()
    done = run.status == RunStatus.CANCELLED
    text = f"run {run.pk} is {run.status}"
    if not done:
        text += "; nothing was cancelled" if run.status in FINAL_RUN else " no more"
    tell(run, text, as_json=as_json)
    return 0 if done else FAILED


def note_cancelled(run: Run) -> None:
    """Write the end of a run that no steward may be there to archive."""
    now = timezone.now()
    with transaction.atomic():
        changed = Run.objects.filter(pk=run.pk, status__in=OPEN_RUN).update(
            status=RunStatus.CANCELLED,
            finished_at=now,
            error={"kind": "Cancelled", "text": WHY},
        )
        if changed:
            Step.objects.filter(run_id=run.pk, status__in=OPEN_STEP).update(
                status=StepStatus.CANCELLED, finished_at=now
            )


def resume_run(run: Run, options: dict[str, Any]) -> int:
    """Carry on a run whose state Redis still has."""
    session = Session(
        out=sys.stdout,
        err=sys.stderr,
        as_json=options["json"],
        keep=options["keep"],
        concurrency=options["concurrency"],
    )
    if run.status in FINAL_RUN:
        return session.settled(run, f"run {run.pk} is {run.status} already")
    if run.status == RunStatus.INTERRUPTED:
        return session.settled(run, lost_text(run))

    def begin(store: RedisStore) -> Run:
        return take_up(store, run)

    try:
        program = Program.from_json(readable(run.program))
        look_for_parts(session, program)
    except BlueprintInvalid as error:
        # Workers of this shell would fail it for good.
        session.run_id = run.pk
        return refuse_blueprint(session, f"run {run.pk}", error)
    except ValueError as error:
        raise SetupFailed(
            f"run {run.pk} can't be carried on, its program is {error}: cancel it"
        ) from None
    finally:
        lua_host().close()
    return session.drive("resume", queues_of(program), begin, run_id=run.pk)


def take_up(store: RedisStore, run: Run) -> Run:
    """Make sure that a run's state is there and moves; SetupFailed if it is lost."""
    here = store.head(run.pk)
    if here is None and not (
        run.status == RunStatus.PENDING and run.epoch == epoch(store)
    ):
        run.refresh_from_db()
        if run.status not in FINAL_RUN:
            raise SetupFailed(lost_text(run))
    if here is not None and here.status == RunStatus.PAUSED:
        store.resume(run.pk)
    return run


def lost_text(run: Run) -> str:
    """Say that a run can't be carried on."""
    return (
        f"Redis has lost the state of run {run.pk}. Rebuilding it from the journal is"
        " not there yet, so it can't be resumed: start it anew with"
        f" `{typed('run FILE')}`"
    )
