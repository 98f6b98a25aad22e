"""The web server: uvicorn with our application, at the address of SWARM_BIND."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import uvicorn
from django.conf import settings

from workers.fleet.fleet import Fleet, process_env
from workers.fleet.prerequisites import Place, SetupFailed
from workers.fleet.records import Record
from workers.fleet.worker_guard import report_ready, take_ready_descriptor
from workers.process.posix import hide

APPLICATION: Final = "swarm_project.asgi:application"
AWAIT_S: Final = 20.0
"""How long `up` waits for the web server before it prints its address all the same."""
BACKLOG: Final = 512
GRACE_S: Final = 20
"""How long requests may go on when it ends; its guard waits a little longer."""
HERE: Final = ("localhost", "127.0.0.1", "[::1]")
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - only compared


def address_of(bind: str) -> tuple[str, int]:
    """Return host and port of a HOST:PORT; raises SetupFailed."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        text = f"expected HOST:PORT, for example 127.0.0.1:7777, got {bind!r}"
        raise SetupFailed(f"SWARM_BIND: {text}")
    return host.strip("[]"), int(port)


def listen(bind: str) -> socket.socket:
    """Return a socket that listens at an address; raises SetupFailed."""
    host, port = address_of(bind)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else str(error)
        raise SetupFailed(
            f"the web server can't listen at {bind} ({reason}): set SWARM_BIND to another"
            " address, or start `up` with --no-web"
        ) from None


def free_address(bind: str) -> str:
    """Return the address with a port that is free; port 0 becomes one that is."""
    with closing(listen(bind)) as found:
        return f"{bind.rpartition(':')[0]}:{found.getsockname()[1]}"


def url_of(bind: str) -> str:
    """Return the URL at which this machine reaches an address."""
    host, port = address_of(bind)
    host = "localhost" if host in EVERYWHERE else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def login_url(bind: str) -> str:
    """Return the URL at which a browser logs in: with HTTPS it is that of the proxy.

    Its name is the first of SWARM_ALLOWED_HOSTS that is not this machine, if any.
    """
    if not settings.SWARM_HTTPS:
        return url_of(bind)
    names = [name for name in settings.ALLOWED_HOSTS if not name.startswith(("*", "."))]
    names.sort(key=lambda name: name in HERE)
    return f"https://{names[0] if names else 'HOST'}"


def start_web(fleet: Fleet, place: Place, bind: str, **options: Any) -> Path:
    """Start the web server at an address under a guard; return its log.

    `options` are `keep` and `tries` of Fleet.guard.
    """
    pid = os.getpid()
    held = fleet.hold(
        Record(f"web-{pid}", "web server", pid, (), shared=True, bind=bind)
    )
    command = [*(sys.executable, "-m", "swarm_project.command_line"), "web"]
    command += ["--bind", bind]
    env = process_env(place.server_url)
    return fleet.guard(command, env, held, noun="web server", **options)


def await_web(bind: str, fleet: Fleet) -> None:
    """Wait until the web server takes connections, for a while."""
    until = time.monotonic() + AWAIT_S
    while time.monotonic() < until:
        fleet.check()
        with contextlib.suppress(OSError):
            socket.create_connection(address_of(bind), timeout=1).close()
            return
        time.sleep(0.05)


def serve(bind: str) -> None:
    """Serve until a signal ends it; raises SetupFailed if it can't listen."""
    # Its environment has secrets, which processes that it starts must not see.
    hide()
    guard = take_ready_descriptor()
    listener = listen(bind)
    # What GET /v1/doctor answers.
    settings.SWARM_BIND = bind
    config = uvicorn.Config(
        APPLICATION,
        lifespan="off",
        # Only Django decides what a proxy may say (SWARM_HTTPS).
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    if guard is not None:
        # It listens already: requests wait until the server takes them.
        report_ready(guard)
    with closing(listener):
        uvicorn.Server(config).run(sockets=[listener])
