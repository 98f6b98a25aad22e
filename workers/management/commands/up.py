"""`manage.py up`: server and workers for all queues, until Ctrl-C."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from blueprints.command_line import SwarmCommand, typed
from workers.fleets import (
    Fleet,
    Place,
    SetupFailed,
    all_queues,
    kept_fleets,
    migrate,
    redis_place,
    stop_kept,
    watch_server,
)
from workers.management.commands.run import process_count_or_none
from workers.runtime import make_store
from workers.server import acquire, read_server_info, release_server
from workers.session import INTERRUPTED, REFUSED, Interrupts, ours

EVERY_S = 1.0


class Command(SwarmCommand):
    """Serves every queue of this installation."""

    help = (
        "Start or adopt the server and serve all queues until Ctrl-C; workers that"
        " exit are restarted. `--keep` leaves both up afterwards, `--stop` ends them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--concurrency",
            type=process_count_or_none,
            default=2,
            metavar="N",
            help="worker processes (2); 0 starts the server only",
        )
        parser.add_argument(
            "--queues", default="", metavar="a,b", help="further queues to serve"
        )
        parser.add_argument(
            "--keep", action="store_true", help="leave server and workers up at Ctrl-C"
        )
        parser.add_argument(
            "--stop",
            action="store_true",
            help="end server and workers that a --keep left, and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve, or end what still serves."""
        try:
            if options["stop"]:
                stop_all()
                return
            extra = [name for name in options["queues"].split(",") if name]
            sys.exit(serve([*all_queues(), *extra], options))
        except SetupFailed as error:
            raise CommandError(str(error), returncode=REFUSED) from None


def stop_all() -> None:
    """End the fleets and the server that were left up."""
    fleets = stop_kept()
    told = "no embedded server was running"
    if read_server_info(settings.VAR_DIR) is not None:
        # Whoever else holds it goes on; the last to let go stops it.
        acquire(settings.VAR_DIR)
        (Path(settings.VAR_DIR) / "redis.keep").unlink(missing_ok=True)
        stopped = release_server(settings.VAR_DIR)
        told = "the embedded server is " + ("stopped" if stopped else "still in use")
    print(f"ended {fleets} fleet{'' if fleets == 1 else 's'}; {told}")


def serve(queues: list[str], options: dict[str, Any]) -> int:
    """Keep one fleet for all queues until interrupted."""
    fleet = Fleet()
    with Interrupts(fleet.hurry) as interrupts:
        try:
            migrate()
            with redis_place(keep=options["keep"]) as place:
                try:
                    _serve(fleet, place, queues, options)
                except KeyboardInterrupt:
                    print("stopping")
                finally:
                    interrupts.closing = True
                    if options["keep"]:
                        fleet.leave()
                        print(f"left up; end with: {typed('up --stop')}")
                    else:
                        fleet.stop()
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


def _serve(
    fleet: Fleet, place: Place, queues: list[str], options: dict[str, Any]
) -> None:
    store = make_store()
    with contextlib.closing(store.wire):
        ours(store)
    others = [kept.name for kept in kept_fleets()]
    count = options["concurrency"]
    print(f"Redis    {place.address}")
    if count:
        log = fleet.start(
            place,
            queues,
            name=f"up-{os.getpid()}",
            concurrency=count,
            keep=options["keep"],
            # It is restarted for as long as this command stands.
            tries=0,
            recorded=True,
        )
        print(f"queues   {', '.join(queues)}")
        print(f"workers  {count} processes, log {log}")
    if others:
        print(f"also up  {', '.join(others)}")
    launch = typed("run FILE --keep")
    print(f"launch   {launch}    (Ctrl-C stops)", flush=True)
    while True:
        time.sleep(EVERY_S)
        watch_server(place)
        fleet.check()
