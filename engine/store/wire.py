"""The Redis store's connection: scripts by hash, raw commands, and resends."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import redis
from hiredis import pack_command
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.store.base import StoreFull
from engine.store.script_texts import Scripts
from engine.store.server_url import ServerUrl, outage_of

FULL: Final = (
    "Redis is full (maxmemory): it takes no new work, and runs in progress continue. Wait"
    " until runs have ended and their journal is archived, or give Redis more memory"
)
RESENDS: Final = 3
RECONCILED: Final = "swarm:s:reconciled"
"""The key with the run id of the server process whose data were compared with the archive."""
UNRECONCILED: Final = (
    "the data of Redis are not compared with the archive yet: it was started anew or"
    " emptied, and a worker or a steward that reaches the database does that next"
)
RUN_ID: Final = re.compile(rb"\brun_id:(\w+)")


class Unreconciled(RedisConnectionError):
    """A new server process whose data nobody has compared with the archive yet."""


class RawConnection(Protocol):
    """The methods of redis-py's Connection that the step path uses."""

    def register_connect_callback(self, callback: Any) -> None:
        """Call a method with the connection whenever it has connected."""

    def send_packed_command(self, command: Any, check_health: bool = ...) -> None:
        """Send packed commands; connect first if there is no connection."""

    def read_response(self) -> Any:
        """Return one reply; raise an error reply."""

    def disconnect(self) -> None:
        """Close the connection; the next command connects again."""


class RedisFull(StoreFull, OutOfMemoryError):
    """Redis has no memory for the call."""


class Wire:
    """One connection a thread and process, with our own resends."""

    def __init__(
        self,
        url: str | ServerUrl,
        scripts: Scripts,
        timeout: float = 15.0,
        patience_s: float = 0.0,
        resend_silent: bool = True,
        wary: bool = False,
    ) -> None:
        """Prepare the connection; the first call connects.

        A call whose connection breaks is sent again RESENDS times, and until `patience_s`
        seconds have passed. `timeout` seconds bound the wait for a connection and for
        each reply; without `resend_silent` a call is not sent again after that wait. A
        `wary` connection raises Unreconciled on a server whose data are not reconciled. A new
        server process means a new connection, so only connecting asks.
        """
        self._server_url = ServerUrl.of(url)
        self._timeout = timeout
        self._patience = patience_s
        self._resend_silent = resend_silent
        self._scripts = scripts
        self._wary = wary
        self._local = threading.local()
        self.calls = 0
        """Round trips so far; tests count them."""

    def _connection(self) -> RawConnection:
        local = self._local
        if getattr(local, "pid", None) != os.getpid():
            # The connection needs its pool later, to discover the master.
            local.pool = self._server_url.pool(
                socket_timeout=self._timeout,
                socket_connect_timeout=min(5.0, self._timeout),
                socket_keepalive=True,
            )
            local.connection = local.pool.make_connection()
            if self._wary:
                # The connection keeps no reference to the method, but to this object.
                local.connection.register_connect_callback(self._meet)
            local.pid = os.getpid()
        return cast(RawConnection, local.connection)

    def _meet(self, connection: RawConnection) -> None:
        """Raise Unreconciled unless the data of the server that answers are reconciled."""
        asks: list[tuple[Any, ...]] = [("INFO", "server"), ("GET", RECONCILED)]
        asked = [pack_command(one) for one in asks]
        connection.send_packed_command([b"".join(asked)], check_health=False)
        info, reconciled = (self._reply(connection) for _ in asked)
        for reply in (info, reconciled):
            if isinstance(reply, Exception):
                raise reply
        if server_of(info) != reconciled:
            raise Unreconciled(UNRECONCILED)

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.disconnect()

    def call(self, *args: Any) -> Any:
        """Send one command and return its reply; send it again if the connection breaks."""
        return self.pipeline([args])[0]

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one write and return their replies; raise the first error."""
        if not commands:
            return []
        connection = self._connection()
        # hiredis packs text, bytes and integers faster than redis-py, which inspects every
        # argument first.
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
                # The next call must not read the rest of this reply.
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
        return [self._reply(connection) for _ in range(count)]

    @staticmethod
    def _reply(connection: RawConnection) -> Any:
        try:
            return connection.read_response()
        except redis.ResponseError as error:
            if outage := outage_of(error):
                raise outage from None
            return error

    def script(self, name: str, *args: Any) -> list[Any]:
        """Run a script by its hash; load it first if Redis does not have it."""
        return cast(list[Any], self.scripts(name, [args])[0])

    def scripts(self, name: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """Run a script once for each list of arguments, in one round trip."""
        sha = self._scripts.sha[name]
        commands = [("EVALSHA", sha, 0, *args) for args in calls]
        try:
            return self.pipeline(commands)
        except NoScriptError:
            self.call("SCRIPT", "LOAD", self._scripts.text[name])
            return self.pipeline(commands)


def server_of(info: bytes) -> bytes:
    """Return the run id of a server process, which INFO tells; empty if it does not."""
    found = RUN_ID.search(info)
    return found[1] if found else b""
