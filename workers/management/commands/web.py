"""`manage.py web`: serve pages and API, and nothing else."""

import contextlib
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from blueprints.command_line import SwarmCommand
from workers.fleet.prerequisites import database_ready
from workers.fleet.web_server import serve
from workers.terminal.session import command_errors


class Command(SwarmCommand):
    """Be the web server of this installation."""

    help = (
        "Serve pages and API until Ctrl-C. `up` starts one by itself; where workers have"
        " machines of their own, this is the web server beside them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--bind",
            default=settings.SWARM_BIND,
            metavar="HOST:PORT",
            help="instead of SWARM_BIND",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until a signal ends it."""
        with command_errors():
            database_ready()
            # uvicorn raises the signal again that ended it.
            with contextlib.suppress(KeyboardInterrupt):
                serve(options["bind"])
