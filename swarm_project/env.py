"""Strict readers of environment variables.

A wrong value stops the process with the variable's name; an empty one counts as unset.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from engine.store.address import Address, AddressInvalid
from workers.server_files import NOWHERE, ROOT, Paths, read_record, socket_url

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_YEAR_S = 366 * 24 * 3600

# The server's own timeouts never reach a client behind a broken network: TCP's do. A
# vanished client's locks must go as well. Milliseconds but for connect and keepalives.
_PATIENCE_WITH_POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=60000",
}


def env_text(name: str, default: str, *, choices: Sequence[str] = ()) -> str:
    """Returns a text, one of `choices` where these are given."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if choices and text not in choices:
        raise _refusal(name, text, f"one of {', '.join(choices)}")
    return text


def env_bool(name: str, default: bool) -> bool:
    """Returns a yes or no, spelled 1/0, true/false, yes/no or on/off."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise _refusal(name, text, "true or false")


def env_int(name: str, default: int, *, least: int = 1, most: int | None = None) -> int:
    """Returns an integer of at least `least` and, where given, at most `most`."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise _refusal(name, text, "an integer") from None
    if value < least:
        raise _refusal(name, text, f"an integer of at least {least}")
    if most is not None and value > most:
        raise _refusal(name, text, f"an integer of at most {most}")
    return value


def env_seconds(name: str, default: float, *, least: float = 0.0) -> float:
    """Returns seconds greater than 0, at least `least` and at most a year.

    Unbounded is not on offer, and more than a year is as good as that.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise _refusal(name, text, "a number of seconds") from None
    # Written so that NaN is refused too.
    if not 0 < value < float("inf"):
        raise _refusal(name, text, "a finite number of seconds greater than 0")
    if value < least:
        raise _refusal(name, text, f"at least {least:g} seconds")
    if value > _YEAR_S:
        raise _refusal(name, text, f"at most {_YEAR_S} seconds (a year)")
    return value


def env_list(name: str, default: Sequence[str]) -> list[str]:
    """Returns a list written with commas; spaces around its members are dropped."""
    members = [part.strip() for part in os.environ.get(name, "").split(",")]
    return [part for part in members if part] or list(default)


def secret_key(*, var_dir: Path) -> str:
    """Returns SWARM_SECRET_KEY, or the key made once and kept in `var_dir`/secret_key.

    Processes that start together agree on one key: a name is linked to a complete file,
    and only the first link succeeds.
    """
    key = env_text("SWARM_SECRET_KEY", "")
    if key:
        return key
    path = var_dir / "secret_key"
    try:
        keep_strangers_out(path)
        if not path.exists():
            _keep(path, secrets.token_urlsafe(50))
        # Its mode may be another in a folder that was copied.
        path.chmod(0o600)
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"SWARM_SECRET_KEY is not set, and {path} can't be used ({error.strerror}):"
            " set it, or SWARM_VAR to a folder of your own"
        ) from None
    if not key:
        raise ImproperlyConfigured(
            f"{path} is empty: remove it, and a key is made anew"
        )
    return key


def keep_strangers_out(path: Path) -> None:
    """Raises ImproperlyConfigured if another user has put a file into `VAR_DIR` for us.

    They would know the key, or could write programs of runs into the database. Trusted
    are this user, root, and who owns the folder and may replace all in it.
    """
    try:
        owner, above = path.lstat().st_uid, path.parent.stat().st_uid
    except FileNotFoundError:
        return
    if owner not in (os.geteuid(), above, ROOT):
        raise ImproperlyConfigured(
            f"{path} belongs to another user: remove it, or set SWARM_VAR to a folder of"
            " your own"
        )


def _keep(path: Path, key: str) -> None:
    """Writes a file for its owner alone, unless another process is faster."""
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(handle, "w") as file:
            file.write(key)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def database(*, url: str, var_dir: Path) -> dict[str, Any]:
    """Returns the default entry of DATABASES for a URL, or for SQLite in `var_dir`.

    Write transactions of SQLite begin IMMEDIATE: one that starts as a reader can't
    wait for the lock later, it fails at once. A PostgreSQL that hangs or can't be
    reached any more is an error after seconds, not never; what the URL says goes first.
    """
    if not url:
        keep_strangers_out(var_dir / "db.sqlite3")
    try:
        found: dict[str, Any] = dict(
            dj_database_url.parse(
                url or f"sqlite:///{var_dir / 'db.sqlite3'}",
                conn_max_age=60,
                conn_health_checks=True,
            )
        )
    except ValueError as error:
        # The URL may hold a password, so it is not repeated here.
        raise ImproperlyConfigured(f"DATABASE_URL: {error}") from None
    if found["ENGINE"] == "django.db.backends.sqlite3":
        found["CONN_MAX_AGE"] = 0
        found["OPTIONS"] = {
            **found.get("OPTIONS", {}),
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        }
    if found["ENGINE"] == "django.db.backends.postgresql":
        found["OPTIONS"] = {**_PATIENCE_WITH_POSTGRESQL, **found.get("OPTIONS", {})}
    return found


def redis_address(*, url: str, var_dir: Path) -> Address:
    """Returns where the Redis of state and queues is.

    Without a URL it is the embedded server described in `var_dir`/redis.json, and
    where none is running an address that nothing answers at.
    """
    if not url:
        record = read_record(Paths(var_dir))
        return Address.of(NOWHERE if record is None else socket_url(record.socket))
    try:
        return Address.of(url)
    except AddressInvalid as error:
        raise ImproperlyConfigured(f"SWARM_REDIS_URL: {error}") from None


def _refusal(name: str, text: str, expected: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name}: expected {expected}, got {text!r}")
