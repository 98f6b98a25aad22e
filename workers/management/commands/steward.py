"""`manage.py steward`: the process that workers start; nobody else needs to."""

from typing import Any

from blueprints.command_line import SwarmCommand
from workers.steward.process import main


class Command(SwarmCommand):
    """Run the steward until its standard input ends."""

    # Its worker has made them, and they would load the admin.
    requires_system_checks = []

    help = "Run the steward until standard input ends. Workers start it by themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until the parent process ends."""
        main()
