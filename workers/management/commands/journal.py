"""`manage.py journal verify`: check that the archived journal is what was archived."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from blueprints.command_line import DONE, FAILED, SwarmCommand, counted_as
from blueprints.run_file import NoRunFile, run_file_check
from blueprints.selectors.journal import JournalReport, checkable_runs, journal_check
from workers.fleet.prerequisites import SetupFailed, database_ready
from workers.management.commands.runs import find_run
from workers.terminal.kept_runs import not_being_deleted
from workers.terminal.session import command_errors
from workers.terminal.texts import RUN_HELP


class Command(SwarmCommand):
    """Check the journals of runs."""

    help = "Check that the archived journal is complete and unchanged; exit 1 if not."
    verbs = ("verify",)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the verb."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser("verify", help="make all hashes again")
        verify.add_argument(
            "run", metavar="RUN", nargs="?", help=f"{RUN_HELP} (all runs)"
        )
        verify.add_argument(
            "--file",
            type=Path,
            metavar="FILE",
            help="instead, check a file of `runs export`",
        )
        verify.add_argument(
            "--json", action="store_true", help="print JSON, a line for each run"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check one run or all; print what is wrong as it is found."""
        runs = entries = faulty = 0
        short = options["run"] is None and options["file"] is None
        with command_errors():
            database_ready()
            for report in reports(options["run"], options["file"]):
                runs, entries = runs + 1, entries + report.entries
                faulty += bool(report.faulty)
                if options["json"]:
                    print(json.dumps(report.to_json()))
                else:
                    for line in report_lines(report, short=short):
                        print(line, end="")
        if not options["json"]:
            checked = f"{counted_as(runs, 'run')}, {counted_as(entries, 'row')}"
            end = f"{faulty} with faults" if faulty else "all as they were archived"
            print(f"{checked}: {end}")
        sys.exit(FAILED if faulty else DONE)


def reports(run: str | None, file: Path | None) -> Iterator[JournalReport]:
    """Yield the report of the run that a text names, of a file, or of all runs."""
    if file is not None:
        if run is not None:
            raise SetupFailed("name a RUN or a --file, not both")
        yield file_report(file)
        return
    if run is not None:
        found = find_run(run)
        not_being_deleted(found)
        yield journal_check(found)
        return
    for found in checkable_runs():
        yield journal_check(found)


def file_report(file: Path) -> JournalReport:
    """Return the report of a run's file; raise SetupFailed if it is none."""
    try:
        with file.open("rb") as opened:
            return run_file_check(opened)
    except (OSError, NoRunFile) as error:
        raise SetupFailed(f"{file} can't be checked: {error}") from None


def report_lines(report: JournalReport, *, short: bool) -> Iterator[str]:
    """Yield what is to be told of a run; with `short` only faults and gaps."""
    for fault in report.faults:
        at = f" entry {fault.number}" if fault.number else ""
        yield (
            f"{report.run} generation {fault.generation}{at}: {fault.kind}:"
            f" {fault.text}\n"
        )
    if report.faulty > len(report.faults):
        yield f"{report.run}: {report.faulty} faults, of which the first are shown\n"
    for gap in report.gaps:
        first, last = gap["number"], gap["upto"]
        span = f"entry {first}" if first == last else f"entries {first} to {last}"
        yield (
            f"{report.run} generation {gap['generation']} {span}: a recorded gap:"
            f" {gap['text']}\n"
        )
    if not short and report.converted:
        yield (
            f"{report.run}: entries up to {report.converted} were archived before there"
            " were hashes; they are as that database had them\n"
        )
    if not short and report.hash:
        yield f"{report.run}: the hash of the last entry is {report.hash}\n"
