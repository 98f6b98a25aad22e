"""`manage.py runs list|show|logs|watch|...`: show, follow and control runs."""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from rich.table import Table

from blueprints.agent_modules import add_folders
from blueprints.agent_sources import source_hashes
from blueprints.command_line import (
    DONE,
    FAILED,
    SwarmCommand,
    typed,
)
from blueprints.conf import lua_host
from blueprints.models import Run
from blueprints.selectors.outputs import (
    EmittedOutput,
    is_log,
    log_text,
    run_log,
    run_outputs,
)
from blueprints.selectors.programs import run_program
from blueprints.selectors.replays import run_replay
from blueprints.selectors.runs import (
    run_find,
    run_list,
    run_report,
    run_step_counts,
)
from blueprints.selectors.steps import run_names, step_report
from engine.blueprint import BlueprintInvalid, Program
from engine.flow.spelling import listed
from engine.run.place_names import PlaceNames
from engine.run.states import FINAL_RUN, RunStatus
from engine.visible import visible
from workers.fleet.prerequisites import SetupFailed, database_ready, redis_place
from workers.process.posix import is_locked
from workers.runs.control import (
    PAUSABLE,
    StateLost,
    cancel_run,
    forget_run,
    pause_run,
)
from workers.steward.candidate import steward_lock
from workers.terminal.chosen_steps import (
    STEP_HELP,
    add_generation,
    chosen_generation,
    chosen_steps,
)
from workers.terminal.console import VisibleConsole
from workers.terminal.failed_page import show_failed
from workers.terminal.kept_runs import (
    Told,
    add_kept_arguments,
    delete_one,
    export_run,
    prune_runs,
)
from workers.terminal.recovered_runs import add_recover_arguments, recover_runs
from workers.terminal.reporter import resume_line
from workers.terminal.run_again import (
    add_again_arguments,
    fork_run,
    generation_lines,
    generations_json,
    rerun_run,
)
from workers.terminal.run_outputs import add_output_arguments, show_outputs
from workers.terminal.run_pages import (
    PIPE_WIDTH,
    SHOWN_LINES,
    LogTexts,
    replay_page,
    run_page,
    step_page,
    steps_page,
)
from workers.terminal.session import (
    Follow,
    Session,
    add_session_arguments,
    command_errors,
)
from workers.terminal.texts import RUN_HELP, duration
from workers.wiring import make_store

NEWEST = 20
JSON_LINES = 1000
FOLLOW_S = 0.5
AGAIN = "`run FILE` starts a new one"
WHY = "cancelled with `runs cancel`"
VERBS = {
    "list": f"list the newest {NEWEST} runs",
    "show": "show a run with its steps, or one step with its attempts",
    "replay": "rebuild a run from its journal, and tell where its program differs",
    "logs": "show what the agents of a run have logged",
    "outputs": "list what a run keeps in the output store, or print one output",
    "watch": "follow a run that other workers drive, to its end",
    "pause": "start no more steps until the run is resumed",
    "cancel": "end a run and its steps",
    "resume": "continue a run after Ctrl-C or pause",
    "recover": "rebuild runs that Redis has lost from the archive",
    "rerun": "run an ended run again, from its start, a step or what has failed",
    "fork": "start a new run from a step of an ended one",
    "forget": "remove from Redis an ended run whose result was too large to archive",
    "export": "write a run with its program and its journal into one file",
    "delete": "delete an ended run for good; a row tells that it was here",
    "prune": "delete all runs that ended longer ago than SWARM_RETENTION says",
}


TELLS = {
    "outputs": show_outputs,
    "export": export_run,
    "rerun": rerun_run,
    "fork": fork_run,
}
WATCHING = {
    "output": None,
    "quiet": False,
    "keep_workers": False,
    "own_workers": False,
    "in_process": False,
    "no_workers": True,
}
ADDS = {
    "outputs": add_output_arguments,
    "export": add_kept_arguments,
    "prune": add_kept_arguments,
    "rerun": add_again_arguments,
    "fork": add_again_arguments,
    "recover": add_recover_arguments,
}
"""What adds the arguments of a verb that is in another module."""


class Command(SwarmCommand):
    """Show and control runs."""

    help = (
        "List the newest runs, show or follow one, pause or cancel one, resume one after"
        " Ctrl-C or pause, or remove an ended one from Redis."
    )

    verbs = VERBS

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare a subcommand for each verb."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        for name, text in VERBS.items():
            sub = verbs.add_parser(name, help=text)
            if name == "resume":
                add_session_arguments(sub)
            else:
                sub.add_argument("--json", action="store_true", help="print JSON")
            if name not in ("list", "prune", "recover"):
                sub.add_argument("run", metavar="RUN", help=RUN_HELP)
            if name in ADDS:
                ADDS[name](name, sub)
            match name:
                case "list":
                    sub.add_argument(
                        "--failed",
                        action="store_true",
                        help="only runs that have failed or were interrupted",
                    )
                    sub.add_argument(
                        "--blueprint", metavar="ID", help="only runs of this Blueprint"
                    )
                case "show":
                    add_generation(sub)
                    what = sub.add_mutually_exclusive_group()
                    what.add_argument(
                        "step", metavar="STEP|PLACE", nargs="?", help=STEP_HELP
                    )
                    what.add_argument(
                        "--failed",
                        action="store_true",
                        help="each failed step with its input, error and log",
                    )
                case "replay":
                    add_generation(sub)
                    sub.add_argument(
                        "--to",
                        type=int,
                        metavar="NUMBER",
                        help="stop after this journal entry",
                    )
                case "logs":
                    add_generation(sub)
                    sub.add_argument(
                        "-f",
                        "--follow",
                        action="store_true",
                        help="go on until the run has ended",
                    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the verb; an error that ends it is one line."""
        with command_errors():
            database_ready()
            if options["verb"] == "list":
                list_runs(
                    as_json=options["json"],
                    only_failed=options["failed"],
                    blueprint=options["blueprint"],
                )
                return
            if options["verb"] == "prune":
                tell(prune_runs(options), options)
                return
            if options["verb"] == "recover":
                done, told = recover_runs(options)
                tell(told, options)
                sys.exit(DONE if done else FAILED)
            self._handle_one(find_run(options["run"]), options)

    def _handle_one(self, run: Run, options: dict[str, Any]) -> None:
        """Run a verb that is about one run."""
        if (number := options.get("generation")) is not None:
            run = chosen_generation(run, number)
        match options["verb"]:
            case "show" if options["step"] is not None:
                show_step(run, options["step"], as_json=options["json"])
                return
            case "show" if options["failed"]:
                tell(show_failed(run, width()), options)
                return
            case "show":
                show_run(run, as_json=options["json"])
                return
            case "logs":
                show_log(run, follow=options["follow"], as_json=options["json"])
                return
            case "replay":
                sys.exit(show_replay(run, options["to"], as_json=options["json"]))
            case "outputs" | "export" | "rerun" | "fork" as verb:
                tell(TELLS[verb](run, options), options)
                return
            case "watch":
                sys.exit(watch(run, Session({**WATCHING, **options})))
            case "resume":
                sys.exit(resume(run, Session(options)))
            case verb:
                done, text = CHANGES[verb](run)
        now = json.dumps({"run": run.pk, "status": run.status})
        print(now if options["json"] else text)
        sys.exit(DONE if done else FAILED)


def tell(told: Told, options: dict[str, Any]) -> None:
    """Print what a verb has done."""
    data, text = told
    print(json.dumps(data) if options["json"] else text)


def find_run(text: str) -> Run:
    """Return the run that a text names; raise SetupFailed if there is not exactly one."""
    try:
        return run_find(text)
    except ValueError as error:
        listed = typed("runs list")
        raise SetupFailed(f"{error}; list the runs with: {listed}") from None


def print_table(columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; in a pipe it is as wide as its rows need."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns.split():
        table.add_column(name, overflow="fold" if name == "message" else "ignore")
    for row in rows:
        # Made visible here, since that changes the width of the columns.
        table.add_row(*(visible(str(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 220
    VisibleConsole(sys.stdout, width=width, markup=False).print(table)


def list_runs(*, as_json: bool, only_failed: bool, blueprint: str | None) -> None:
    """Print the newest runs, all of them or those that the options choose."""
    now, found = timezone.now(), run_list()
    if only_failed:
        found = found.filter(status__in=(RunStatus.FAILED, RunStatus.INTERRUPTED))
    if blueprint is not None:
        found = found.filter(task__blueprint_id=blueprint)
    newest = list(found[:NEWEST])
    counts = run_step_counts(newest)
    rows: list[dict[str, Any]] = [
        {
            "run": run.pk,
            "status": run.status,
            "blueprint": run.task.blueprint_id,
            "age_s": round((now - run.created_at).total_seconds(), 1),
            "steps": counts[run.pk],
        }
        for run in newest
    ]
    if as_json:
        print(json.dumps({"items": rows}))
    elif rows:
        shown = ([*{**row, "age_s": duration(row["age_s"])}.values()] for row in rows)
        print_table("run status blueprint age steps", shown)
    elif only_failed or blueprint is not None:
        print(f"No run matches. List all runs with: {typed('runs list')}")
    else:
        print(f"There are no runs yet. Start one with: {typed('run FILE')}")


def show_run(run: Run, *, as_json: bool) -> None:
    """Print a run, its steps, their output and its result."""
    report, names = run_report(run), run_names(run)
    newest, total = run_log(run, newest=JSON_LINES if as_json else SHOWN_LINES)
    log = [log_line(one, names) for one in newest]
    if as_json:
        report |= {"log": log, "log_total": total, **generations_json(run)}
        print(json.dumps(report, ensure_ascii=False))
        return
    print(
        *run_page(report, log, total, names, width()), *generation_lines(run), sep="\n"
    )
    # A worker of this host has a steward; what other hosts do is not known here.
    if run.status == RunStatus.RUNNING and not is_locked(steward_lock()):
        print(
            "no worker is running on this host; if no other host has one, carry the run on"
            f" with: {resume_line(run.pk)}"
        )


def show_step(run: Run, text: str, *, as_json: bool) -> None:
    """Print the step that a text names, or a list of the steps if there are several."""
    names, steps = run_names(run), chosen_steps(run, text)
    if len(steps) == 1:
        report = step_report(run, steps[0], names)
        if as_json:
            print(json.dumps(report, ensure_ascii=False))
        else:
            print(*step_page(report, width()), sep="\n")
        return
    by_place = {one["place"]: one for one in run_report(run)["steps"]}
    found = [by_place[step.place] for step in steps]
    if as_json:
        print(json.dumps({"run": run.pk, "steps": found}, ensure_ascii=False))
    else:
        print(*steps_page(found, run.pk, width()), sep="\n")


def show_replay(run: Run, upto: int | None, *, as_json: bool) -> int:
    """Print what a replay rebuilds of a run; return 1 if the program differs."""
    try:
        report = run_replay(run, upto)
    except ValueError as error:
        raise SetupFailed(f"run {run.pk} can't be replayed: {error}") from None
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print(*replay_page(report, width()), sep="\n")
    return FAILED if report["difference"] else DONE


def width() -> int:
    """Return the width of the terminal; in a pipe, room for whole lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def log_line(output: EmittedOutput, names: PlaceNames) -> dict[str, Any]:
    """Return a log line as a JSON object."""
    return {
        "at": output.at.isoformat(),
        "place": output.place,
        "name": names.name(output.place),
        "attempt": output.attempt,
        "text": log_text(output),
    }


def show_log(run: Run, *, follow: bool, as_json: bool) -> None:
    """Print the log of a run's steps; with `follow` until the run has ended."""
    names, after = run_names(run), 0
    texts = LogTexts(repeat=not sys.stdout.isatty())
    while True:
        # Read before the lines: an ended run gets no more.
        run.refresh_from_db(fields=["status"])
        over = not follow or run.status in {*FINAL_RUN, RunStatus.INTERRUPTED}
        for output in run_outputs(run, after):
            after = output.number
            if is_log(output):
                line = log_line(output, names)
                text = texts.of(line, line["name"])
                print(json.dumps(line, ensure_ascii=False) if as_json else text)
        sys.stdout.flush()
        # A reader that has left (`| head`) needs no more lines.
        if over or getattr(sys.stdout, "error", None) is not None:
            return
        time.sleep(FOLLOW_S)


def pause(run: Run) -> tuple[bool, str]:
    """Pause a run; return whether it is paused, and the text to print."""
    done = False
    if run.status in PAUSABLE:
        with redis_place():
            done = pause_run(make_store(), run)
    more = f"resume it with: {resume_line(run.pk)}" if done else "nothing was paused"
    return done, f"run {run.pk} is {run.status}; {more}"


def cancel(run: Run) -> tuple[bool, str]:
    """Cancel a run; return whether it is cancelled, and the text to print."""
    if run.status not in FINAL_RUN:
        with redis_place():
            cancel_run(make_store(), run, WHY)
    done = run.status == RunStatus.CANCELLED
    more = "" if done else "; nothing was cancelled"
    return done, f"run {run.pk} is {run.status}{more}"


def forget(run: Run) -> tuple[bool, str]:
    """Remove a run from Redis; return whether it is removed, and the text to print."""
    if run.status not in FINAL_RUN:
        text = f"is {run.status}; only an ended run can be removed from Redis"
        return False, f"run {run.pk} {text}"
    with redis_place():
        done = forget_run(make_store(), run)
    if not done:
        text = "is not archived to its end yet; nothing was removed"
        return False, f"run {run.pk} {text}"
    return (
        True,
        f"run {run.pk} is removed from Redis; its history stays in the database",
    )


def watch(run: Run, session: Session) -> int:
    """Follow an open run; return the exit code."""
    if run.status in FINAL_RUN:
        return session.reporter.ended(run, "it has ended already")
    return session.drive(Follow(run, program_of(run), only_watches=True))


def program_of(run: Run) -> Program:
    """Return the program of a run; raise SetupFailed for one that can't be read."""
    try:
        return run_program(run)
    except ValueError as error:
        raise SetupFailed(
            f"the program of run {run.pk} is {error}: cancel the run"
        ) from None


def changed_functions(run: Run, program: Program) -> Iterator[str]:
    """Yield a line if functions have another source than at the launch of a run."""
    then = run.sources.get("functions", {})
    now = source_hashes(program.agents.values())
    changed = [name for name, one in now.items() if then.get(name, one) != one]
    if changed:
        yield f"since the run was launched, the source has changed of {listed(changed)}"


def resume(run: Run, session: Session) -> int:
    """Resume a run whose state Redis still has; return the exit code."""
    reporter = session.reporter
    if run.status in FINAL_RUN:
        more = "" if run.status == RunStatus.DONE else f" and is not continued; {AGAIN}"
        return reporter.ended(run, f"it has ended already{more}")
    if run.status == RunStatus.INTERRUPTED:
        return reporter.settled(run, str(StateLost(run)))
    program = program_of(run)
    add_folders(run.sources.get("folders", ()))
    try:
        session.require_parts(program)
        reporter.err.print(*changed_functions(run, program))
    except BlueprintInvalid as error:
        # Own workers would fail the run permanently.
        reporter.run_id = run.pk
        return reporter.refuse_blueprint(f"run {run.pk}", error.diagnostics)
    finally:
        lua_host().close()
    return session.drive(Follow(run, program))


CHANGES = {"cancel": cancel, "pause": pause, "forget": forget, "delete": delete_one}
"""What ends, stops or removes a run; each returns whether it did, and what to print."""
