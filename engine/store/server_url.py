"""The URL of a Redis server: parsed once, for the state and for the broker.

A parsed URL prints without its user and its password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import redis
import redis.connection
from redis.backoff import NoBackoff
from redis.connection import (
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

ENCRYPTED: Final = frozenset({"rediss", "sentinels"})
"""`sentinels://` encrypts the connections to the sentinels and to the server."""
BEHIND_SENTINELS: Final = frozenset({"sentinel", "sentinels"})
LOGIN: Final = ("username", "password")
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS: Final = (*FILES, "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_OPTIONS: Final = ("master_name", "sentinel_username", "sentinel_password")
SENTINEL_PORT: Final = 26379
SENTINEL_WAIT_S: Final = 1.0
"""How long to wait for one sentinel before the next one is tried."""
ONLY_TCP: Final = (
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
)
ENCODE: Final = (
    "expected SCHEME://USER:PASSWORD@HOST:PORT/NUMBER?OPTION=VALUE, with user and"
    " password percent-encoded (/ as %2F)"
)
FAILOVER_ERRORS: Final = ("NOREPLICAS ", "UNBLOCKED ")
"""Prefixes of errors during a failover for which redis-py has no class."""
FULL_DISK_ERROR: Final = "MISCONF "
"""Prefix of the error that every write and PING get while the disk is full."""


class InvalidServerUrl(ValueError):
    """A URL that can't be used; its text contains no secret of the URL."""


class Sentinels(Sentinel):
    """Sentinels whose connections are closed after each discovery of the master."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master; no connection stays open."""
        try:
            found = cast(Any, super()).discover_master(service_name)
            return cast(tuple[str, int], found)
        finally:
            self.close()


class DiscoversMaster:
    """Makes a connection discover the master whenever it connects.

    redis-py discovers it in `connect` only, not when a command finds the connection
    closed.
    """

    def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        """Connect to the master; `connect` itself calls this without retry."""
        connection = cast(Any, super())
        if retry_socket_connect:
            connection.connect()
        else:
            connection.connect_check_health(check_health, retry_socket_connect)


class MasterConnection(DiscoversMaster, SentinelManagedConnection):
    """A connection to the current master."""


class MasterTLSConnection(DiscoversMaster, SentinelManagedSSLConnection):
    """A connection with TLS to the current master."""


CLASSES: Final[dict[str, Any]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
    "sentinel": MasterConnection,
    "sentinels": MasterTLSConnection,
}


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A parsed URL of a Redis server; it prints without user and password."""

    url: str = field(repr=False)
    printable: str
    options: Mapping[str, Any] = field(repr=False, compare=False)
    """Options of redis-py's connections to the server."""
    service: str = ""
    """The name of the master at the sentinels; empty without sentinels."""
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_options: Mapping[str, Any] = field(
        repr=False, compare=False, default_factory=dict[str, Any]
    )
    """Options of redis-py's connections to the sentinels."""

    def __str__(self) -> str:
        """Return the URL without user and password."""
        return self.printable

    @property
    def db(self) -> int:
        """Return the database number."""
        return int(self.options.get("db", 0))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the passwords in the URL."""
        both = (self.options.get("password"), self.sentinel_options.get("password"))
        return tuple(secret for secret in both if secret)

    @classmethod
    def of(cls, url: str | ServerUrl) -> ServerUrl:
        """Parse a URL; InvalidServerUrl names the part that is wrong."""
        return url if isinstance(url, ServerUrl) else _parse(url)

    def pool(self, **timeouts: Any) -> ConnectionPool:
        """Return a pool whose connections reach the current master.

        `timeouts` are further options of redis-py's connections. A unix socket takes
        none that are for TCP only.
        """
        options: dict[str, Any] = {**timeouts, **self.options}
        if "path" in options:
            for name in ONLY_TCP:
                options.pop(name, None)
        if not self.service:
            return ConnectionPool(**options)
        sentinels = cast(Any, Sentinels)(
            self.sentinels, sentinel_kwargs=dict(self.sentinel_options)
        )
        pool = cast(Any, SentinelConnectionPool)(self.service, sentinels, **options)
        return cast(ConnectionPool, pool)

    def client(self, **timeouts: Any) -> redis.Redis:
        """Return a client that tries each command once."""
        return redis.Redis.from_pool(self.pool(retry=Retry(NoBackoff(), 0), **timeouts))


class RedisUnwritable(RedisConnectionError):
    """Redis can't write to its disk and refuses every write."""


def outage_of(error: ResponseError) -> RedisConnectionError | None:
    """Return the outage that an error of the server means, None if it means none.

    In an outage there is no master, the master is not ready, or its disk is full.
    """
    text = str(error)
    if text.startswith(FULL_DISK_ERROR):
        _, colon, reason = text.rpartition(": ")
        return RedisUnwritable(
            f"Redis can't write to its disk ({reason if colon else 'see its log'})"
            " and takes no writes until there is room again; runs continue by themselves then"
        )
    known = isinstance(error, (ReadOnlyError, MasterDownError))
    if known or text.startswith(FAILOVER_ERRORS):
        return RedisConnectionError(text)
    return None


def _parse(url: str) -> ServerUrl:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in CLASSES:
        raise InvalidServerUrl(f"expected one of {'://, '.join(CLASSES)}://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    login, at, hosts = authority.rpartition("@")
    if scheme in BEHIND_SENTINELS and ";" in rest.partition("?")[0]:
        raise InvalidServerUrl(
            "write sentinels with commas and one scheme: sentinel://HOST:PORT,HOST:PORT"
        )
    if scheme == "unix":
        options = _options_of(url)
    else:
        _check_path(tail, at)
        options = _options_of(f"redis://{login}{at}{hosts.partition(',')[0]}{tail}")
    options["connection_class"] = CLASSES[scheme]
    _check_options(scheme, _options_of(f"redis://?{rest.partition('?')[2]}"))
    _check_tls(options)
    db = options.get("db", 0)
    if scheme in BEHIND_SENTINELS:
        return _behind_sentinels(url, scheme, hosts, options)
    if scheme == "unix":
        printable = f"unix://{options.get('path', '')}" + (f"?db={db}" if db else "")
        return ServerUrl(url, printable, options)
    if "," in hosts:
        raise InvalidServerUrl("expected one host; several are for sentinel://")
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return ServerUrl(url, f"{scheme}://{_authority(host, port)}/{db}", options)


def _behind_sentinels(
    url: str, scheme: str, hosts: str, options: dict[str, Any]
) -> ServerUrl:
    found = {name: options.pop(name, None) for name in SENTINEL_OPTIONS}
    for name in ("host", "port"):
        options.pop(name, None)
    service = found["master_name"]
    if not service:
        raise InvalidServerUrl(
            f"{scheme}:// needs the name of the master:"
            f" {scheme}://HOST:PORT,HOST:PORT/NUMBER?master_name=NAME"
        )
    sentinels = tuple(_sentinel(host) for host in hosts.split(","))
    printable = ",".join(_authority(host, port) for host, port in sentinels)
    return ServerUrl(
        url,
        f"{scheme}://{printable}/{options.get('db', 0)}?master_name={service}",
        options,
        service,
        sentinels,
        {
            "username": found["sentinel_username"],
            "password": found["sentinel_password"],
            # A silent sentinel must not delay the next one for long.
            "socket_timeout": SENTINEL_WAIT_S,
            "socket_connect_timeout": SENTINEL_WAIT_S,
            "retry": Retry(NoBackoff(), 0),
            "ssl": scheme in ENCRYPTED,
            **{name: options[name] for name in TLS_OPTIONS if name in options},
        },
    )


def _options_of(url: str) -> dict[str, Any]:
    try:
        return dict(cast(Any, redis.connection).parse_url(url))
    except ValueError:
        # The text of that error may contain a part of the password.
        raise InvalidServerUrl(ENCODE) from None


def _check_path(tail: str, at: str) -> None:
    """Refuse a password that is not percent-encoded and an invalid database number."""
    if "@" in tail and not at:
        raise InvalidServerUrl(ENCODE)
    # redis-py reads any other text as 0.
    number = tail.partition("?")[0].removeprefix("/")
    if number and not number.isdecimal():
        raise InvalidServerUrl("expected a database number after the host: HOST:PORT/0")


def _check_options(scheme: str, names: Iterable[str]) -> None:
    """Refuse options of the query that have no effect, such as TLS options without TLS.

    Refuse user and password, too, although redis-py reads them from the query.
    """
    allowed = ("db", *(TLS_OPTIONS if scheme in ENCRYPTED else ()))
    if scheme in BEHIND_SENTINELS:
        allowed = (*allowed, *SENTINEL_OPTIONS)
    for name in names:
        if name in allowed:
            continue
        if name in LOGIN:
            raise InvalidServerUrl(f"{name} goes before the host; {ENCODE}")
        if name in TLS_OPTIONS:
            raise InvalidServerUrl(
                f"{name} is for {'://, '.join(sorted(ENCRYPTED))}://"
            )
        known = ", ".join(allowed)
        raise InvalidServerUrl(f"{scheme}:// has no option {name}; it has {known}")


def _check_tls(options: dict[str, Any]) -> None:
    """Check the files of TLS and translate `ssl_cert_reqs` to redis-py's spelling."""
    for name in FILES:
        path = options.get(name)
        # Workers and stewards run in different folders.
        if path is not None and not (os.path.isabs(path) and os.access(path, os.R_OK)):
            raise InvalidServerUrl(
                f"{name}: expected the absolute path of a file that can be read"
            )
    check = options.get("ssl_cert_reqs")
    if check is None:
        return
    if check.startswith("CERT_"):
        # kombu's spelling.
        check = check.removeprefix("CERT_").lower()
    if check not in ("none", "optional", "required"):
        raise InvalidServerUrl("ssl_cert_reqs: expected required, optional or none")
    options["ssl_cert_reqs"] = check


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sentinel(host: str) -> tuple[str, int]:
    found = _options_of(f"redis://{host}")

    return found.get("host", "localhost"), found.get("port", SENTINEL_PORT)
