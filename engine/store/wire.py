"""How the Redis store talks: its scripts by hash, and a raw connection with our resend."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final, Protocol, cast

import redis
from hiredis import pack_command
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from engine.store.address import Address, away
from engine.store.base import StoreFull

SHEBANG: Final = "#!lua flags=no-cluster{extra}\n"
# What adds to the work there is. All other scripts run when Redis is out of memory too:
# they save work that is done, or bring runs to their end, which is what makes room.
ADDS_WORK: Final = frozenset({"start", "upload", "open", "emit"})
FULL: Final = (
    "Redis is full (maxmemory) and takes nothing new; what is under way goes on. Wait until"
    " runs have ended and their journal is archived, or give Redis more memory"
)
RESENDS: Final = 3
PRELUDE: Final = "-- PRELUDE\n"
"""Where a script wants the prelude, if not at its very beginning."""


class RawConnection(Protocol):
    """The part of redis-py's Connection that the step path uses."""

    def send_packed_command(self, command: Any, check_health: bool = ...) -> None:
        """Send what is packed already, connecting first where that is needed."""

    def read_response(self) -> Any:
        """Return one reply; raises what the server answers as an error."""

    def disconnect(self) -> None:
        """Hang up; the next command connects again."""


class RedisFull(StoreFull, OutOfMemoryError):
    """Redis has no memory left for what was asked."""


class Scripts:
    """The Lua scripts of this store, by name, with their SHA-1."""

    def __init__(self) -> None:
        """Read every script once and put the shared prelude into it."""
        folder = resources.files("engine.store").joinpath("scripts")
        prelude = folder.joinpath("prelude.lua").read_text()
        self.text: dict[str, bytes] = {}
        self.sha: dict[str, str] = {}
        for entry in folder.iterdir():
            name, _, ext = entry.name.partition(".")
            if ext != "lua" or name == "prelude":
                continue
            flags = "" if name in ADDS_WORK else ",allow-oom"
            before, mark, after = entry.read_text().rpartition(PRELUDE)
            text = SHEBANG.format(extra=flags) + before + prelude + mark + after
            self.text[name] = text.encode()
            self.sha[name] = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Redis names scripts so


class Wire:
    """One connection per thread and process, with our own resend."""

    def __init__(
        self,
        url: str | Address,
        scripts: Scripts,
        timeout: float = 15.0,
        patience_s: float = 0.0,
        resend_silent: bool = True,
    ) -> None:
        """Prepare a pool for `url`; nothing is connected before the first call.

        With patience a call waits that long for a server that is away; without it a
        broken connection is tried again RESENDS times at once. `timeout` seconds bound
        the wait for a connection and for each reply; without `resend_silent` a call
        that waited so long for a silent server is not sent again.
        """
        self._address = Address.of(url)
        self._timeout = timeout
        self._patience = patience_s
        self._resend_silent = resend_silent
        self._scripts = scripts
        self._local = threading.local()
        self.calls = 0
        """Round trips made so far, for tests that count."""

    def _connection(self) -> RawConnection:
        local = self._local
        if getattr(local, "pid", None) != os.getpid():
            # Kept: a connection asks its pool where the master is.
            local.pool = self._address.pool(
                socket_timeout=self._timeout,
                socket_connect_timeout=min(5.0, self._timeout),
                socket_keepalive=True,
            )
            local.connection = local.pool.make_connection()
            local.pid = os.getpid()
        return cast(RawConnection, local.connection)

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.disconnect()

    def call(self, *args: Any) -> Any:
        """Send one command and return its reply; resends when the connection breaks."""
        return self.pipeline([args])[0]

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one write and return their replies; errors are raised."""
        connection = self._connection()
        # hiredis packs text, bytes and integers by itself; redis-py's own packing looks
        # at every argument first.
        packed = [b"".join([pack_command(tuple(args)) for args in commands])]
        tries, until = 0, time.monotonic() + self._patience
        while True:
            try:
                replies = self._exchange(connection, packed, len(commands))
                break
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                connection.disconnect()
                tries += 1
                silent = isinstance(error, (RedisTimeoutError, TimeoutError))
                enough = tries > RESENDS or (silent and not self._resend_silent)
                if enough and time.monotonic() > until:
                    raise
                if tries > 1 and self._patience:
                    time.sleep(min(0.05 * (1 << min(tries, 5)), 1.0))
            except BaseException:
                # Half an answer may be left behind: the next call must not read it.
                connection.disconnect()
                raise
        for reply in replies:
            if isinstance(reply, OutOfMemoryError):
                raise RedisFull(FULL) from reply
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _exchange(
        self, connection: RawConnection, packed: Any, count: int
    ) -> list[Any]:
        self.calls += 1
        connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in range(count):
            try:
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                if as_good_as := away(error):
                    raise as_good_as from None
                replies.append(error)
        return replies

    def script(self, name: str, *args: Any) -> list[Any]:
        """Run a script by its hash, loading it where Redis does not know it."""
        try:
            return cast(
                list[Any], self.call("EVALSHA", self._scripts.sha[name], 0, *args)
            )
        except NoScriptError:
            self.call("SCRIPT", "LOAD", self._scripts.text[name])
            return cast(
                list[Any], self.call("EVALSHA", self._scripts.sha[name], 0, *args)
            )

    def scripts(self, name: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Run a script once for each list of arguments, in one round trip."""
        sha = self._scripts.sha[name]
        commands = [("EVALSHA", sha, 0, *args) for args in calls]
        try:
            return self.pipeline(commands) if commands else []
        except NoScriptError:
            self.call("SCRIPT", "LOAD", self._scripts.text[name])
            return self.pipeline(commands)
