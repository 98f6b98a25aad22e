"""`manage.py up`: run web server, Redis and workers for all queues until Ctrl-C."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from blueprints.command_line import (
    DONE,
    INTERRUPTED,
    SwarmCommand,
    counted_as,
    typed,
)
from blueprints.conf import spawner_kinds
from blueprints.login_links import login_path
from workers.embedded_server.files import read_server_info
from workers.embedded_server.server import stop_kept_server
from workers.fleet.fleet import (
    Fleet,
    end_dead_leases,
    queues_of_kinds,
)
from workers.fleet.in_process_lock import refuse_beside_in_process
from workers.fleet.prerequisites import Place, migrate, redis_place, watch_server
from workers.fleet.records import Record, shared_fleets, stop_shared
from workers.fleet.web_server import (
    await_web,
    free_address,
    login_url,
    start_web,
    url_of,
)
from workers.terminal.session import (
    Interrupts,
    add_worker_arguments,
    command_errors,
    require_own_stores,
)
from workers.wiring import make_store

CHECK_INTERVAL_S = 1.0


class Command(SwarmCommand):
    """Serve every queue of this installation."""

    help = (
        "Start the embedded server, or use the running one, and serve pages, API and all"
        " queues until Ctrl-C; what exits is restarted. `--keep-workers` leaves everything"
        " running afterwards, `--stop` ends it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        add_worker_arguments(parser, "worker processes (2)", "further queues to serve")
        parser.add_argument(
            "--no-workers", action="store_true", help="start no workers"
        )
        parser.add_argument(
            "--no-web", action="store_true", help="start no web server (SWARM_BIND)"
        )
        parser.add_argument(
            "--keep-workers",
            action="store_true",
            help="leave server and workers running at Ctrl-C",
        )
        parser.add_argument(
            "--stop",
            action="store_true",
            help="only end server and workers that --keep-workers left running",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve the queues, or end what --keep-workers left running."""
        with command_errors():
            if options["stop"]:
                stop_all()
                return
            if not options["no_workers"]:
                refuse_beside_in_process()
            queues = [*queues_of_kinds(spawner_kinds()), *options["queues"]]
            sys.exit(serve(queues, options))


def stop_all() -> None:
    """End the fleets and the server that --keep-workers left running."""
    fleets = stop_shared()
    server = "no embedded server was running"
    if read_server_info(settings.VAR_DIR) is not None:
        # Other users keep it; the last one stops it.
        stopped = stop_kept_server(settings.VAR_DIR)
        server = "the embedded server is " + ("stopped" if stopped else "still in use")
    print(f"{counted_as(fleets, 'fleet')} ended; {server}")


def serve(queues: list[str], options: dict[str, Any]) -> int:
    """Run one fleet for all queues until Ctrl-C; return the exit code."""
    fleet = Fleet()
    with Interrupts(fleet) as interrupts:
        try:
            migrate()
            others = shared_fleets()
            if not options["no_workers"]:
                pid, who = os.getpid(), f"`{typed('up')}`"
                fleet.enter(Record(f"up-{pid}", who, pid, tuple(queues), shared=True))
            with redis_place(keep=options["keep_workers"]) as place:
                try:
                    _serve(fleet, place, others, options)
                except KeyboardInterrupt:
                    print("stopping")
                finally:
                    interrupts.closing = True
                    if options["keep_workers"]:
                        fleet.leave()
                        print(
                            f"Server and workers keep running. Stop them with: {typed('up --stop')}"
                        )
                    else:
                        fleet.stop()
        except KeyboardInterrupt:
            return INTERRUPTED
    return DONE


def _serve(
    fleet: Fleet, place: Place, others: list[Record], options: dict[str, Any]
) -> None:
    store = make_store()
    with contextlib.closing(store.wire):
        require_own_stores(store)
        end_dead_leases(store, place)
    # The web server of an earlier `up --keep-workers` goes on.
    kept = next((one.bind for one in others if one.bind), "")
    starts_web = not options["no_web"] and not kept
    bind = free_address(settings.SWARM_BIND) if starts_web else kept
    # Restarted as often as needed while this command runs.
    common = {"keep": options["keep_workers"], "tries": 0}
    print(f"Redis    {place.server_url}")
    if starts_web:
        start_web(fleet, place, bind, **common)
    if fleet.held is not None:
        count = options["concurrency"]
        log = fleet.start(place, concurrency=count, **common)
        print(f"queues   {', '.join(fleet.held.record.queues)}")
        print(f"workers  {count} processes, log {log}")
    if others:
        print(f"also up  {', '.join(one.name for one in others)}")
    if bind:
        await_web(bind, fleet)
        print("\n".join(login_lines(bind, link=sys.stdout.isatty())))
    launch = typed("run FILE")
    print(f"launch   {launch}    (Ctrl-C stops)", flush=True)
    while True:
        time.sleep(CHECK_INTERVAL_S)
        watch_server(place)
        fleet.check()


def login_lines(bind: str, *, link: bool) -> Iterator[str]:
    """Yield where the pages are and how to log in; a `link` is for a person's eyes."""
    url = login_url(bind)
    yield f"web      {url_of(bind)}"
    if link:
        yield f"log in   {url}{login_path()}    (once, within 10 minutes)"
    yield f"log in   {url}/login/    (`{typed('createsuperuser')}` makes a user)"
