"""`manage.py fleet`: run a Celery worker with the pool that its kinds need."""

import contextlib
import os
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from blueprints.command_line import REFUSED, SwarmCommand, names, typed
from blueprints.conf import spawner_kinds
from workers.broker.transport import state_url
from workers.embedded_server.files import read_server_info
from workers.embedded_server.server import Hold
from workers.fleet.fleet import pool_of, queues_of_kinds, worker_command, worker_env
from workers.fleet.in_process_lock import refuse_beside_in_process
from workers.fleet.prerequisites import SetupFailed, reach
from workers.terminal.session import add_worker_arguments, command_errors

POOLS = ("prefork", "threads", "solo")


def hold_server() -> None:
    """Keep the embedded server running until the worker has ended.

    This process becomes the worker. Raise SetupFailed if no server is running: a fleet
    does not start one.
    """
    with contextlib.suppress(TimeoutError):
        hold = Hold(settings.VAR_DIR)
        if read_server_info(settings.VAR_DIR) is not None:
            hold.pass_on()
            return
        hold.release()
    raise SetupFailed(
        f"no embedded server is running: start one with `{typed('up')}`, or set"
        " SWARM_REDIS_URL"
    )


class Command(SwarmCommand):
    """Become a Celery worker for some kinds of agents."""

    help = (
        "Serve the queues of some agent kinds, in the configured Redis. This is"
        " `celery -A swarm_project worker` with the options that the kinds need."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        known = ", ".join(spawner_kinds())
        parser.add_argument(
            "--kind",
            type=names,
            default=[],
            metavar="a,b",
            help=f"agent kinds to serve: {known}",
        )
        add_worker_arguments(
            parser,
            "processes or threads (2)",
            "further queues to serve; without --kind, these alone, for every kind",
        )
        parser.add_argument(
            "--pool", choices=POOLS, help="instead of the pool that the kinds need"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process by the worker, so that signals reach the worker."""
        kinds, queues = options["kind"], options["queues"]
        known = ", ".join(spawner_kinds())
        if unknown := ", ".join(sorted(set(kinds).difference(spawner_kinds()))):
            text = f"unknown kind {unknown}; kinds with a spawner here: {known}"
            raise CommandError(text, returncode=REFUSED)
        if not kinds and not queues:
            text = f"name what to serve: --kind ({known}), or --queues, or both"
            raise CommandError(text, returncode=REFUSED)
        with command_errors():
            refuse_beside_in_process()
            pool = pool_of(kinds or spawner_kinds(), options["pool"])
            if not os.environ.get("SWARM_REDIS_URL", "").strip():
                hold_server()
            reach(state_url())
        command = worker_command(
            # The urgent queues of the kinds come first.
            [*queues_of_kinds(kinds), *queues],
            name=f"fleet-{os.getpid()}",
            concurrency=options["concurrency"],
            pool=pool,
        )
        environment = worker_env(state_url(), options["concurrency"])
        os.execvpe(command[0], command, environment)  # noqa: S606 - our own interpreter
