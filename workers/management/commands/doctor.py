"""`manage.py doctor`: is this installation fit to run, and if not, what to do."""

import contextlib
import json
import sys
from dataclasses import asdict
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from blueprints.command_line import SwarmCommand
from workers.doctor import examine
from workers.doctor_dead_letters import as_row
from workers.fleets import SetupFailed, redis_place
from workers.installation import take_over
from workers.runtime import make_store
from workers.session import REFUSED
from workers.transport import state_address

SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def give_redis() -> None:
    """Make the configured Redis that of this database; exit 2 when it can't be."""
    try:
        # The embedded server is started for it: commands would have refused its data.
        with redis_place():
            store = make_store()
            with contextlib.closing(store.wire):
                take_over(store)
    except (SetupFailed, redis.RedisError, DatabaseError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CommandError(
            f"Redis was not taken over: {reason}", returncode=REFUSED
        ) from None
    print(f"the Redis at {state_address()} is that of this database now")


class Command(SwarmCommand):
    """Prints a line a finding; exit 1 if one is a failure."""

    help = "Check Redis, database, workers and queues; exit 1 if something fails."
    # Broken wiring is to be told as a finding of its own, after everything else.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="instead, make a Redis of another installation that of this database;"
            " stop all workers before",
        )
        parser.add_argument("--json", action="store_true", help="JSON for programs")
        parser.add_argument(
            "--dead-letters",
            action="store_true",
            help="show what lay in a queue or the journal and could not be used: a line"
            " of JSON each, the newest first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine everything, then tell."""
        if options["dead_letters"]:
            self._dead_letters()
            return
        if options["take_over"]:
            give_redis()
            return
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

    def _dead_letters(self) -> None:
        try:
            letters = make_store(timeout=5.0).dead_letters()
        except (redis.RedisError, OSError) as error:
            raise CommandError(f"Redis does not answer: {error}") from None
        for letter in letters:
            # In JSON, escaped: who wrote it must not reach the terminal.
            print(json.dumps(as_row(letter)))
