"""Where Redis is: the one reader of its URL, for the state and for the broker.

What it makes shows no user and no password, whoever prints it.
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
"""`sentinels://` encrypts what goes to the sentinels and to the server."""
ASKING: Final = frozenset({"sentinel", "sentinels"})
LOGIN: Final = ("username", "password")
FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS: Final = (*FILES, "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_OPTIONS: Final = ("master_name", "sentinel_username", "sentinel_password")
SENTINEL_PORT: Final = 26379
SENTINEL_WAIT_S: Final = 1.0
"""How long one sentinel is waited for before the next one is asked."""
ONLY_TCP: Final = (
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
)
ENCODE: Final = (
    "expected SCHEME://USER:PASSWORD@HOST:PORT/NUMBER?OPTION=VALUE, with user and"
    " password percent-encoded (/ as %2F)"
)
NOT_NOW: Final = ("NOREPLICAS ", "UNBLOCKED ")
"""How answers begin that redis-py has no class for and that end with a failover."""
UNWRITABLE: Final = "MISCONF "
"""How answers begin to whatever writes while the disk is full; also the one to PING."""


class AddressInvalid(ValueError):
    """A URL that can't be used; the text never repeats a secret of it."""


class Sentinels(Sentinel):
    """Sentinels that are asked for the master and then let go of."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the master; keeps no connection open."""
        try:
            found = cast(Any, super()).discover_master(service_name)
            return cast(tuple[str, int], found)
        finally:
            self.close()


class AsksFirst:
    """Makes a connection ask the sentinels however it comes to connect.

    redis-py's own does so in `connect` alone, and not where a command finds it closed.
    """

    def connect_check_health(
        self, check_health: bool = True, retry_socket_connect: bool = True
    ) -> None:
        """Connect to the master; the call without retry comes from there."""
        connection = cast(Any, super())
        if retry_socket_connect:
            connection.connect()
        else:
            connection.connect_check_health(check_health, retry_socket_connect)


class MasterConnection(AsksFirst, SentinelManagedConnection):
    """A connection to the master of the moment."""


class MasterTLSConnection(AsksFirst, SentinelManagedSSLConnection):
    """A connection with TLS to the master of the moment."""


CLASSES: Final[dict[str, Any]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
    "sentinel": MasterConnection,
    "sentinels": MasterTLSConnection,
}


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis by its URL; printed, it shows neither user nor password."""

    url: str = field(repr=False)
    shown: str
    options: Mapping[str, Any] = field(repr=False, compare=False)
    """What redis-py's connections take."""
    service: str = ""
    """The name that sentinels know the master by; empty where none are asked."""
    sentinels: tuple[tuple[str, int], ...] = ()
    asking: Mapping[str, Any] = field(
        repr=False, compare=False, default_factory=dict[str, Any]
    )
    """What connections to the sentinels take."""

    def __str__(self) -> str:
        """Return what may be shown."""
        return self.shown

    @property
    def db(self) -> int:
        """Return the database number."""
        return int(self.options.get("db", 0))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the passwords it holds."""
        held = (self.options.get("password"), self.asking.get("password"))
        return tuple(secret for secret in held if secret)

    @classmethod
    def of(cls, url: str | Address) -> Address:
        """Return the address of a URL; AddressInvalid with what is wrong in it."""
        return url if isinstance(url, Address) else _read(url)

    def pool(self, **patience: Any) -> ConnectionPool:
        """Return a pool whose connections reach the master of the moment.

        `patience` are redis-py's options of a connection; those of TCP are left out
        where there is none.
        """
        options: dict[str, Any] = {**patience, **self.options}
        if "path" in options:
            for name in ONLY_TCP:
                options.pop(name, None)
        if not self.service:
            return ConnectionPool(**options)
        known = cast(Any, Sentinels)(self.sentinels, sentinel_kwargs=dict(self.asking))
        made = cast(Any, SentinelConnectionPool)(self.service, known, **options)
        return cast(ConnectionPool, made)

    def client(self, **patience: Any) -> redis.Redis:
        """Return a client that tries each command once."""
        return redis.Redis.from_pool(self.pool(retry=Retry(NoBackoff(), 0), **patience))


class RedisUnwritable(RedisConnectionError):
    """Redis can't write to its disk and refuses what changes anything."""


def away(error: ResponseError) -> RedisConnectionError | None:
    """Return the outage that an answer as good as none stands for, None for any other.

    There is no master, it is not ready to be one, or it can't write to its disk.
    """
    text = str(error)
    if text.startswith(UNWRITABLE):
        _, told, reason = text.rpartition(": ")
        return RedisUnwritable(
            f"Redis can't write to its disk ({reason if told else 'its log tells why'})"
            " and takes nothing until there is room again; runs go on by themselves then"
        )
    known = isinstance(error, (ReadOnlyError, MasterDownError))
    return RedisConnectionError(text) if known or text.startswith(NOT_NOW) else None


def _read(url: str) -> Address:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in CLASSES:
        raise AddressInvalid(f"expected one of {'://, '.join(CLASSES)}://")
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(place) :]
    login, at, hosts = place.rpartition("@")
    if scheme in ASKING and ";" in rest.partition("?")[0]:
        raise AddressInvalid(
            "write sentinels with commas and one scheme: sentinel://HOST:PORT,HOST:PORT"
        )
    if scheme == "unix":
        options = _parse(url)
    else:
        _refuse_raw(tail, at)
        options = _parse(f"redis://{login}{at}{hosts.partition(',')[0]}{tail}")
    options["connection_class"] = CLASSES[scheme]
    _refuse_unknown(scheme, _parse(f"redis://?{rest.partition('?')[2]}"))
    _check_tls(options)
    db = options.get("db", 0)
    if scheme in ASKING:
        return _behind_sentinels(url, scheme, hosts, options)
    if scheme == "unix":
        shown = f"unix://{options.get('path', '')}" + (f"?db={db}" if db else "")
        return Address(url, shown, options)
    if "," in hosts:
        raise AddressInvalid("expected one host; several are for sentinel://")
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return Address(url, f"{scheme}://{_shown(host, port)}/{db}", options)


def _behind_sentinels(
    url: str, scheme: str, hosts: str, options: dict[str, Any]
) -> Address:
    asked = {name: options.pop(name, None) for name in SENTINEL_OPTIONS}
    for name in ("host", "port"):
        options.pop(name, None)
    service = asked["master_name"]
    if not service:
        raise AddressInvalid(
            f"{scheme}:// needs the name of the master:"
            f" {scheme}://HOST:PORT,HOST:PORT/NUMBER?master_name=NAME"
        )
    places = tuple(_sentinel(host) for host in hosts.split(","))
    told = ",".join(_shown(host, port) for host, port in places)
    return Address(
        url,
        f"{scheme}://{told}/{options.get('db', 0)}?master_name={service}",
        options,
        service,
        places,
        {
            "username": asked["sentinel_username"],
            "password": asked["sentinel_password"],
            # Soon given up, so that the next one is asked.
            "socket_timeout": SENTINEL_WAIT_S,
            "socket_connect_timeout": SENTINEL_WAIT_S,
            "retry": Retry(NoBackoff(), 0),
            "ssl": scheme in ENCRYPTED,
            **{name: options[name] for name in TLS_OPTIONS if name in options},
        },
    )


def _parse(url: str) -> dict[str, Any]:
    try:
        return dict(cast(Any, redis.connection).parse_url(url))
    except ValueError:
        # Its text may repeat a part of the password.
        raise AddressInvalid(ENCODE) from None


def _refuse_raw(tail: str, at: str) -> None:
    """Refuse a password that ends the host too soon, and what is no database number."""
    if "@" in tail and not at:
        raise AddressInvalid(ENCODE)
    # redis-py would take any other text for 0.
    number = tail.partition("?")[0].removeprefix("/")
    if number and not number.isdecimal():
        raise AddressInvalid("expected a database number after the host: HOST:PORT/0")


def _refuse_unknown(scheme: str, names: Iterable[str]) -> None:
    """Refuse what would be without effect, TLS options without TLS above all.

    So is what has its place before the query: redis-py would take it from there, too.
    """
    allowed = ("db", *(TLS_OPTIONS if scheme in ENCRYPTED else ()))
    if scheme in ASKING:
        allowed = (*allowed, *SENTINEL_OPTIONS)
    for name in names:
        if name in allowed:
            continue
        if name in LOGIN:
            raise AddressInvalid(f"{name} goes before the host; {ENCODE}")
        if name in TLS_OPTIONS:
            raise AddressInvalid(f"{name} is for {'://, '.join(sorted(ENCRYPTED))}://")
        known = ", ".join(allowed)
        raise AddressInvalid(f"{scheme}:// has no option {name}; it has {known}")


def _check_tls(options: dict[str, Any]) -> None:
    """Hold the files and words of TLS against what redis-py will do with them."""
    for name in FILES:
        path = options.get(name)
        # Workers and stewards stand in different folders.
        if path is not None and not (os.path.isabs(path) and os.access(path, os.R_OK)):
            raise AddressInvalid(
                f"{name}: expected the absolute path of a file that can be read"
            )
    wanted = options.get("ssl_cert_reqs")
    if wanted is None:
        return
    if wanted.startswith("CERT_"):
        # kombu's spelling.
        wanted = wanted.removeprefix("CERT_").lower()
    if wanted not in ("none", "optional", "required"):
        raise AddressInvalid("ssl_cert_reqs: expected required, optional or none")
    options["ssl_cert_reqs"] = wanted


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sentinel(host: str) -> tuple[str, int]:
    found = _parse(f"redis://{host}")
    return found.get("host", "localhost"), found.get("port", SENTINEL_PORT)
