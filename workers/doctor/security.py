"""The rules of docs/SECURITY.md that `manage.py doctor` can check."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings

from workers.broker.transport import state_url
from workers.doctor.check_result import CheckResult, fail, ok, warn
from workers.embedded_server.files import read_server_info

LOOPBACK: Final = ("localhost", "127.", "::1", "[::1]")


def _var() -> Iterator[CheckResult]:
    yield _mode(Path(settings.VAR_DIR), 0o700)


def _socket() -> Iterator[CheckResult]:
    info = read_server_info(Path(settings.VAR_DIR))
    if info is not None:
        yield _mode(Path(info.socket_path).parent, 0o700)


def _key() -> Iterator[CheckResult]:
    path = Path(settings.VAR_DIR) / "secret_key"
    if path.exists():
        yield _mode(path, 0o600)


def _mode(path: Path, most: int) -> CheckResult:
    """Check that only its owner can reach a file or folder."""
    found = stat.S_IMODE(path.stat().st_mode)
    if found & ~most & 0o777:
        text = f"{path} has mode {found:o}: others on this machine can reach it"
        return fail(text, f"`chmod {most:o} {path}`")
    return ok(f"{path} is its owner's alone")


def _debug() -> Iterator[CheckResult]:
    if settings.DEBUG:
        text = "on: error pages show settings to every visitor"
        yield warn(text, "set SWARM_DEBUG=0 where strangers reach it")
    else:
        yield ok("off")


def _hosts() -> Iterator[CheckResult]:
    if "*" in settings.ALLOWED_HOSTS:
        text = "SWARM_ALLOWED_HOSTS has *: web processes answer to any host name"
        yield fail(text, "list your own host names")
    else:
        yield ok("web processes answer to the listed host names")


def _redis_password() -> Iterator[CheckResult]:
    server_url = state_url()
    if "password" in server_url.options:
        yield ok("a password is sent")
    elif "path" not in server_url.options:
        text = f"{server_url} needs no password: whoever reaches it can run programs"
        yield warn(text, "set one in SWARM_REDIS_URL")


def _redis_tls() -> Iterator[CheckResult]:
    server_url = state_url()
    if "path" in server_url.options:
        return
    hosts = [host for host, _ in server_url.sentinels] or [
        server_url.options.get("host", "")
    ]
    far = [str(host) for host in hosts if not str(host).startswith(LOOPBACK)]
    if far and not server_url.url.startswith(("rediss:", "sentinels:")):
        text = f"the connection to {far[0]} is not encrypted, nor is the password"
        hint = "use rediss:// or sentinels://, or a network of your own"
        yield warn(text, hint)


def _root() -> Iterator[CheckResult]:
    if os.geteuid() == 0:
        text = "this is root: programs of agents may do anything on this machine"
        yield warn(text, "run workers as a user of their own")
    else:
        yield ok("not root")


SECURITY: Final[Mapping[str, Callable[[], Iterator[CheckResult]]]] = {
    "var-mode": _var,
    "socket-mode": _socket,
    "key-mode": _key,
    "debug": _debug,
    "hosts": _hosts,
    "redis-password": _redis_password,
    "redis-tls": _redis_tls,
    "root": _root,
}
