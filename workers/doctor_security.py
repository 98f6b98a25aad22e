"""The sentences of docs/SECURITY.md that a machine can test, for `manage.py doctor`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings

from engine.store.address import Address
from workers.findings import Finding
from workers.server import read_server_info
from workers.transport import state_address

LOOPBACK: Final = ("localhost", "127.", "::1", "[::1]")


def security() -> Iterator[Finding]:
    """Yield what each check found."""
    for check in SECURITY.values():
        yield from check()


def _var() -> Iterator[Finding]:
    yield _mode("var-mode", Path(settings.VAR_DIR), 0o700)


def _socket() -> Iterator[Finding]:
    info = read_server_info(Path(settings.VAR_DIR))
    if info is not None:
        yield _mode("socket-mode", Path(info.socket_path).parent, 0o700)


def _key() -> Iterator[Finding]:
    path = Path(settings.VAR_DIR) / "secret_key"
    if path.exists():
        yield _mode("key-mode", path, 0o600)


def _mode(name: str, path: Path, most: int) -> Finding:
    """Tell whether nobody but its owner reaches a file or folder."""
    found = stat.S_IMODE(path.stat().st_mode)
    if found & ~most & 0o777:
        text = f"{path} has mode {found:o}: others on this machine can reach it"
        return Finding(name, "fail", text, f"`chmod {most:o} {path}`")
    return Finding(name, "ok", f"{path} is its owner's alone")


def _debug() -> Iterator[Finding]:
    if settings.DEBUG:
        text = "on: pages of errors show settings to whoever asks"
        yield Finding(
            "debug", "warn", text, "set SWARM_DEBUG=0 where strangers reach it"
        )
    else:
        yield Finding("debug", "ok", "off")


def _hosts() -> Iterator[Finding]:
    if "*" in settings.ALLOWED_HOSTS:
        text = "SWARM_ALLOWED_HOSTS has *: web processes answer to any name"
        yield Finding("hosts", "fail", text, "name the hosts that are yours")
    else:
        yield Finding("hosts", "ok", "web processes answer to the names listed")


def _redis() -> Iterator[Finding]:
    yield from redis_findings(state_address())


def redis_findings(address: Address) -> Iterator[Finding]:
    """Yield what is wrong with the way to Redis: no password, or no TLS."""
    if "path" in address.options:
        return
    if "password" not in address.options:
        text = f"{address} asks for no password: who reaches it can run programs"
        yield Finding("redis-password", "warn", text, "set one in SWARM_REDIS_URL")
    else:
        yield Finding("redis-password", "ok", "a password is sent")
    hosts = [host for host, _ in address.sentinels] or [address.options.get("host", "")]
    far = [str(host) for host in hosts if not str(host).startswith(LOOPBACK)]
    if far and not address.url.startswith(("rediss:", "sentinels:")):
        text = f"the way to {far[0]} is not encrypted, the password neither"
        hint = "use rediss:// or sentinels://, or a network of your own"
        yield Finding("redis-tls", "warn", text, hint)


def _root() -> Iterator[Finding]:
    if os.geteuid() == 0:
        text = "this is root: what an agent starts may do anything on this machine"
        yield Finding("root", "warn", text, "run workers as a user of their own")
    else:
        yield Finding("root", "ok", "not root")


SECURITY: Final[Mapping[str, Callable[[], Iterator[Finding]]]] = {
    "var-mode": _var,
    "socket-mode": _socket,
    "key-mode": _key,
    "debug": _debug,
    "hosts": _hosts,
    "redis-password": _redis,
    "root": _root,
}
