"""`manage.py fleet`: a Celery worker in the foreground, with the pool its kinds need."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from blueprints.command_line import SwarmCommand, typed
from blueprints.conf import spawner_kinds
from workers.fleets import (
    SetupFailed,
    pool_of,
    queues_of_kinds,
    reach,
    worker_command,
    worker_env,
)
from workers.management.commands.run import process_count
from workers.server import acquire_for_exec, read_server_info
from workers.session import REFUSED
from workers.transport import state_address

POOLS = ("prefork", "threads", "solo")


def no_server() -> str:
    """Return what to do where the embedded server is not there."""
    start = typed("up")
    return f"no embedded server is running: start `{start}`, or set SWARM_REDIS_URL"


def hold_server() -> None:
    """Keep the embedded server up until the worker that this process becomes has ended.

    SetupFailed when it was stopped just now: a fleet starts none.
    """
    try:
        held = acquire_for_exec(settings.VAR_DIR)
    except TimeoutError:
        raise SetupFailed(no_server()) from None
    if read_server_info(settings.VAR_DIR) is None:
        os.close(held)
        raise SetupFailed(no_server())


class Command(SwarmCommand):
    """Becomes a Celery worker for some kinds of agents."""

    help = (
        "Serve the queues of some agent kinds against the configured Redis. The same"
        " as `celery -A swarm_project worker`, with sane settings."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        known = ", ".join(spawner_kinds())
        parser.add_argument(
            "--kind", required=True, metavar="a,b", help=f"agent kinds, of: {known}"
        )
        parser.add_argument(
            "--concurrency",
            type=process_count,
            default=2,
            metavar="N",
            help="processes or threads (2)",
        )
        parser.add_argument(
            "--queues", default="", metavar="a,b", help="further queues to serve"
        )
        parser.add_argument(
            "--pool", choices=POOLS, help="instead of the one the kinds want"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process by the worker, so that signals reach it."""
        kinds = [name.strip() for name in options["kind"].split(",") if name.strip()]
        unknown = sorted(set(kinds).difference(spawner_kinds()))
        if unknown or not kinds:
            raise CommandError(
                f"unknown kind {', '.join(unknown) or repr(options['kind'])}; kinds"
                f" with a spawner here: {', '.join(spawner_kinds())}",
                returncode=REFUSED,
            )
        try:
            pool = pool_of(kinds, options["pool"])
            own = not os.environ.get("SWARM_REDIS_URL", "").strip()
            if own and read_server_info(settings.VAR_DIR) is None:
                raise SetupFailed(no_server())
            reach(state_address())
            if own:
                hold_server()
        except SetupFailed as error:
            raise CommandError(str(error), returncode=REFUSED) from None
        extra = [name for name in options["queues"].split(",") if name]
        command = worker_command(
            [*queues_of_kinds(kinds), *extra],
            name=f"fleet-{os.getpid()}",
            concurrency=options["concurrency"],
            pool=pool,
        )
        environment = worker_env(state_address(), options["concurrency"])
        os.execvpe(command[0], command, environment)  # noqa: S606 - our own interpreter
