"""`manage.py steward`: what workers spawn; a person never needs to start it."""

from typing import Any

from blueprints.command_line import SwarmCommand
from workers.steward import main


class Command(SwarmCommand):
    """Runs the steward until its standard input ends."""

    help = "Run the steward until standard input ends. Workers start it by themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until the parent is gone."""
        main()
