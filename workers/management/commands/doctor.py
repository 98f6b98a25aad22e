"""`manage.py doctor`: check this installation and print what to correct."""

import contextlib
import json
import sys
from dataclasses import asdict
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from blueprints.command_line import REFUSED, SwarmCommand, first_line
from blueprints.conf import output_store
from blueprints.services.outputs import adopt_outputs
from engine.output_store import OutputsAway
from workers.broker.installation import take_over
from workers.broker.transport import state_url
from workers.doctor.checks import examine
from workers.doctor.dead_letters import as_row
from workers.fleet.prerequisites import SetupFailed, redis_place
from workers.wiring import make_store

SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def take_redis() -> None:
    """Assign the configured Redis to this database; exit 2 if that fails."""
    try:
        # The embedded server is started here: other commands refuse its data.
        with redis_place():
            store = make_store()
            with contextlib.closing(store.wire):
                take_over(store)
    except (SetupFailed, redis.RedisError, DatabaseError, OSError) as error:
        raise CommandError(
            f"Redis was not assigned to this database: {first_line(error)}",
            returncode=REFUSED,
        ) from None
    print(f"The Redis at {state_url()} now belongs to this database.")


def take_outputs() -> None:
    """Make the configured store that of this installation; exit 2 if that fails."""
    try:
        adopt_outputs()
    except (DatabaseError, OutputsAway) as error:
        raise CommandError(
            f"The outputs were not adopted: {first_line(error)}", returncode=REFUSED
        ) from None
    print(f"The outputs of this installation are now in {output_store()}.")


def print_dead_letters() -> None:
    """Print each dead letter as a line of JSON, so that its escapes are harmless."""
    try:
        letters = make_store(timeout=5.0).dead_letters()
    except (redis.RedisError, OSError) as error:
        raise CommandError(f"Redis does not answer: {error}") from None
    for letter in letters:
        print(json.dumps(as_row(letter)))


class Command(SwarmCommand):
    """Print the result of each check; exit 1 if one fails."""

    help = "Check Redis, database, workers and queues; exit 1 if a check fails."
    # The doctor reports broken wiring itself.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="instead, assign a Redis of another installation to this database;"
            " stop all workers first",
        )
        parser.add_argument(
            "--adopt-outputs",
            action="store_true",
            help="instead, make the store that SWARM_OUTPUTS names that of this"
            " installation, after its contents were moved there; stop all workers first",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--dead-letters",
            action="store_true",
            help="instead, show the dead letters (messages and journal entries that"
            " could not be read): a line of JSON each, the newest first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make all checks and print their results."""
        if options["dead_letters"]:
            return print_dead_letters()
        if options["take_over"]:
            return take_redis()
        if options["adopt_outputs"]:
            return take_outputs()
        findings = examine()
        failed = any(finding.level == "fail" for finding in findings)
        if options["json"]:
            found = [asdict(finding) for finding in findings]
            print(json.dumps({"ok": not failed, "findings": found}))
        else:
            for finding in findings:
                print(f"{SIGNS[finding.level]}  {finding.name:<12} {finding.text}")
                if finding.hint:
                    print(f"{'':18} {finding.hint}")
        sys.exit(1 if failed else 0)
