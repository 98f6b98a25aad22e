"""Read settings from the environment, and make Django's settings of URLs and keys."""

import contextlib
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from engine.flow.spelling import hint_at
from engine.store.server_url import InvalidServerUrl, ServerUrl
from workers.embedded_server.files import (
    NOWHERE,
    PRIVATE,
    ROOT,
    keep_private,
    read_server_info,
)

_BOOLS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_YEAR_S = 366 * 24 * 3600

# TCP timeouts, since the server's own never reach a client behind a broken network. The
# last ones release the locks of a client that disappears. Milliseconds, except for
# connect_timeout and keepalives.
_PATIENCE_WITH_POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=60000",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the environment or of a settings module, with its bounds.

    Its type is that of the default. An integer is at least 1 unless `least` is given; a
    float is in seconds, greater than 0 and at most a year.
    """

    name: str
    default: Any
    unit: str
    doc: str
    least: float | None = None
    most: float = inf
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """What a text that is no choice has to match; the unit says it in words."""
    example: str = ""

    @property
    def rule(self) -> str:
        """The type and the bounds, in words."""
        match self.default:
            case bool():
                return "true or false"
            case int() if self.most < inf:
                return f"an integer from {self._least:g} to {self.most:g}"
            case int():
                return f"an integer of at least {self._least:g}"
            case float():
                start = (
                    "greater than 0" if self.least is None else f"from {self.least:g}"
                )
                return f"a number of seconds {start} up to {_YEAR_S} (a year)"
            case list():
                return "a list of texts"
        if self.pattern:
            return f"{self.unit}, for example {self.example or self.default}"
        return f"one of {', '.join(self.choices)}" if self.choices else "a text"

    @property
    def _least(self) -> float:
        return 1 if self.least is None else self.least

    def allows(self, value: Any) -> bool:
        """Return whether a value is of this setting's type and inside its bounds."""
        match self.default:
            case bool():
                return isinstance(value, bool)
            case int():
                return type(value) is int and self._least <= value <= self.most
            case float():
                # Infinity is refused; NaN fails this comparison, too.
                is_number = type(value) in (int, float) and 0 < value <= _YEAR_S
                return is_number and (self.least is None or value >= self.least)
            case list():
                return isinstance(value, list | tuple) and all(
                    isinstance(x, str | os.PathLike) for x in value
                )
        if not isinstance(value, str):
            return False
        if self.choices and not self.pattern:
            return value in self.choices
        pattern = re.compile(self.pattern or ".*", re.DOTALL)
        return value in self.choices or pattern.fullmatch(value) is not None

    def refusal(self, value: Any) -> str:
        """Return what is wrong with a value: the rule, the value, the nearest spelling."""
        text = f"expected {self.rule}, got {value!r}"
        hint = hint_at(value, self.choices) if isinstance(value, str) else ""
        return f"{text}; {hint}" if hint else text

    def read(self) -> Any:
        """Return the variable's value, or the default if it is unset or empty.

        Raise ImproperlyConfigured for a value out of bounds.
        """
        text = os.environ.get(self.name, "").strip()
        value = self._parse(text) if text else self.default
        if not self.allows(value):
            raise ImproperlyConfigured(f"{self.name}: {self.refusal(text)}")
        return value

    def _parse(self, text: str) -> Any:
        try:
            match self.default:
                case bool():
                    return _BOOLS[text.lower()]
                case int() | float():
                    return type(self.default)(text)
                case list():
                    parts = (part.strip() for part in text.split(","))
                    return [part for part in parts if part] or self.default
        except (KeyError, ValueError):
            return None
        return text


def var_folder(path: str | Path) -> Path:
    """Return the folder of an installation's files, made if it is absent."""
    folder = Path(path).resolve()
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        keep_private(folder)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{folder} can't be made or used ({error.strerror}): set SWARM_VAR to a folder"
            " of your own"
        ) from None
    return folder


def secret_key(key: str, *, var_dir: Path) -> str:
    """Return the key; if it is empty, one that is generated once and stored in `var_dir`.

    Processes that start together use the same key: each links a complete file to its name,
    and only the first link succeeds.
    """
    if key:
        return key
    path = var_dir / "secret_key"
    try:
        keep_strangers_out(path)
        if not path.exists():
            _write_private(path, secrets.token_urlsafe(50))
        # A copied folder may have another mode.
        path.chmod(0o600)
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"SWARM_SECRET_KEY is not set, and {path} can't be used ({error.strerror}):"
            " set it, or set SWARM_VAR to a folder of your own"
        ) from None
    if not key:
        raise ImproperlyConfigured(f"{path} is empty: remove it to get a new key")
    return key


def keep_strangers_out(path: Path) -> None:
    """Raise ImproperlyConfigured if another user owns a file in `VAR_DIR`.

    That user would know the key, or could write programs into the database. Trusted are
    this user, root, and the owner of the folder, who may replace all its files.
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


def _write_private(path: Path, key: str) -> None:
    """Write a file that only its owner can read, unless another process is faster."""
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with open(handle, "w") as file:
            file.write(key)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def database(*, url: str, var_dir: Path) -> dict[str, Any]:
    """Return the default entry of DATABASES for a URL, or for SQLite in `var_dir`.

    Transactions of SQLite begin IMMEDIATE: one that starts with a read fails at once,
    instead of waiting, if the database is locked at its first write. With PostgreSQL, a
    lost connection is an error after seconds. Options in the URL take precedence.
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
        # The URL may contain a password, so it is not repeated here.
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


def redis_server_url(*, url: str, var_dir: Path) -> ServerUrl:
    """Return the URL of the Redis with the state and the queues.

    Without `url` it is that of the embedded server, from `var_dir`/redis.json; if none is
    running, a URL at which nothing answers.
    """
    if not url:
        server = read_server_info(var_dir)
        return ServerUrl.of(NOWHERE if server is None else server.url)
    try:
        return ServerUrl.of(url)
    except InvalidServerUrl as error:
        raise ImproperlyConfigured(f"SWARM_REDIS_URL: {error}") from None
