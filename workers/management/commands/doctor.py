"""`manage.py doctor`: is this installation fit to run, and if not, what to do."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from blueprints.command_line import SwarmCommand
from workers.doctor import examine

SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


class Command(SwarmCommand):
    """Prints a line a finding; exit 1 if one is a failure."""

    help = "Check Redis, database, workers and queues; exit 1 if something fails."
    # Broken wiring is to be told as a finding of its own, after everything else.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true", help="JSON for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine everything, then tell."""
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
