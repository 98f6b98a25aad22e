"""Our kombu Transport: Redis, mended where a fleet would exit or loop."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from queue import Empty
from typing import Any

import kombu.transport.redis
import redis
from celery import current_app
from django.conf import settings
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import OutOfMemoryError

from engine.store.address import Address, away
from engine.store.redis import RedisStore
from workers.malformed import Malformed, check, read, restorable
from workers.queue import TICKET_MARK
from workers.queue_order import LooksCycle

logger = logging.getLogger(__name__)

PATIENCE = (
    "max_connections",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "health_check_interval",
    "retry_on_timeout",
    "client_name",
)
"""The transport options that a connection gets; where to, the state's address says."""
GIVE_UP_S = 2.0


@dataclass(frozen=True)
class Key:
    """A key of kombu's, the type it reads there, and how its dead letters are called."""

    name: str
    kind: str
    source: str


class QoS(kombu.transport.redis.QoS):
    """Keeps what a worker was handed of our messages in its memory alone.

    kombu writes every message into Redis once more until it is acknowledged, which is
    more than half of a delivery's cost. Ours need no such copy: the store knows which
    tickets were never claimed and dispatches those again (ADR 0011). Other messages are
    kept as ever.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was handed out."""
        if is_ours(delivery_tag):
            virtual.QoS.append(self, message, delivery_tag)
            return
        append = super().append
        mended(lambda: append(message, delivery_tag), self._keys())

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that was worked off."""
        if is_ours(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
            return
        ack = super().ack
        mended(lambda: ack(delivery_tag), self._keys())

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message, or put it back at the head of its queue."""
        if not is_ours(delivery_tag):
            reject = super().reject
            mended(lambda: reject(delivery_tag, requeue), self._keys())
            return
        if requeue:
            self.restore_by_tag(delivery_tag, leftmost=True)
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Put back what others' workers left unacknowledged; a full Redis refuses it.

        kombu does it when it begins to consume, and a worker must be able to start then:
        its steward is what makes room.
        """
        try:
            restore = super().restore_visible
            mended(lambda: restore(*args, **kwargs), self._keys())
        except OutOfMemoryError as error:
            logger.warning("unacknowledged messages stay where they are: %s", error)

    def _keys(self) -> list[Key]:
        """Return where unacknowledged messages are kept."""
        prefix = self.channel.global_keyprefix
        return [
            Key(prefix + self.unacked_key, "hash", "unacked"),
            Key(prefix + self.unacked_index_key, "zset", "unacked"),
        ]

    def restore_by_tag(
        self, tag: str, client: Any = None, leftmost: bool = False
    ) -> None:
        """Put one message back into its queue."""
        if not is_ours(tag):
            if self._restorable(tag, client):
                super().restore_by_tag(tag, client, leftmost)
            return
        message = self._delivered.get(tag)
        if message is None:
            return
        to = message.delivery_info
        with self.channel.conn_or_acquire(client) as client:
            self.channel._do_restore_message(
                message._raw, to["exchange"], to["routing_key"], client, leftmost
            )

    def _restorable(self, tag: str, client: Any) -> bool:
        """Tell whether kombu can put back what is kept under a tag; else set it aside."""
        with self.channel.conn_or_acquire(client) as client:
            kept = client.hget(self.unacked_key, tag)
            if kept is None:
                return True
            try:
                restorable(kept)
            except Malformed as fault:
                self._remove_from_indices(tag).execute()
                set_aside("unacked", str(fault), kept)
                return False
        return True


class Channel(kombu.transport.redis.Channel):
    """A channel that survives a Redis restart with unacknowledged messages in hand."""

    QoS = QoS
    queue_order_strategy = LooksCycle

    def _brpop_read(self, **options: Any) -> bool:
        """Read the answer of a BRPOP as kombu does, and hand over what it is as it is."""
        try:
            connection = self.client.connection
            try:
                found = self.client.parse_response(connection, "BRPOP", **options)
            except self.connection_errors:
                connection.disconnect()
                raise
            except redis.ResponseError as error:
                if not wrong_type(error):
                    raise
                for queue in self.active_queues:
                    displace(self._list(queue))
                found = None
            if not found:
                raise Empty
            queue = bytes_to_str(found[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self.connection.receive(found[1], queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _receive_one(self, client: Any) -> Any:
        """Take one broadcast; what is not even JSON is nothing."""
        try:
            return super()._receive_one(client)
        except (Empty, RecursionError):
            set_aside("broadcast", "not JSON; the log has its begin", b"")
            return None

    def get_table(self, exchange: str) -> list[tuple[str, ...]]:
        """Return the bindings of an exchange; what is none of them is left out."""
        read_table = super().get_table
        rows = mended(lambda: read_table(exchange), self._bindings(exchange))
        return [row for row in rows if len(row) == 3]

    def _list(self, queue: str) -> Key:
        """Return where the messages of a queue are."""
        return Key(self.global_keyprefix + queue, "list", queue)

    def _bindings(self, exchange: str) -> list[Key]:
        """Return where the bindings of an exchange are kept."""
        names = self.keyprefix_queue, self.keyprefix_binding_permanent
        return [
            Key(self.global_keyprefix + name % (exchange,), "set", "bindings")
            for name in names
        ]

    def _size(self, queue: str) -> int:
        """Return how many messages a queue has."""
        size = super()._size
        return int(mended(lambda: size(queue), [self._list(queue)]))

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """Put a message into a queue."""
        put = super()._put
        mended(lambda: put(queue, message, **options), [self._list(queue)])

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return one client for a connection pool, where kombu makes one an operation.

        Making it costs a sixth of a worker's time.
        """
        # The asynchronous client holds the connection of a BRPOP: it is not shared.
        if asynchronous:
            return super()._create_client(asynchronous)
        kept = self._kept_client
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._kept_client = super()._create_client()
        return kept

    _kept_client: Any = None

    def _queue_bind(self, *args: Any) -> None:
        """Bind a queue; a full Redis refuses what only answers to `inspect` need.

        Messages of ours go through the default exchange, which needs no binding, and
        broadcasts through a subscription.
        """
        try:
            bind = super()._queue_bind
            mended(lambda: bind(*args), self._bindings(args[0]))
        except OutOfMemoryError as error:
            logger.warning("queue %s is not bound: %s", args[-1], error)

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep bindings alive; kombu tells every second at length that it can't."""
        with contextlib.suppress(OutOfMemoryError):
            super().maybe_refresh_binding_expiry()

    def _get_pool(self, asynchronous: bool = False) -> redis.ConnectionPool:
        """Return a pool to the very server, by the very options, that the state has."""
        # After a lost connection kombu restores and acknowledges through a channel
        # whose connection is gone; an AttributeError there ends the whole worker.
        if getattr(self.connection, "client", None) is None:
            raise redis.ConnectionError("the channel's connection is closed")
        address = state_address()
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=address.db)
        options = {name: getattr(self, name) for name in PATIENCE}
        if asynchronous:
            # redis-py would connect anew by itself and read for ever where nobody has
            # subscribed or asked; Celery does both when it hears of the end.
            options["retry_on_timeout"] = False
        pool = address.pool(**options)
        pool.connection_class = _followed(
            pool.connection_class, self if asynchronous else None
        )
        return pool


def state_address() -> Address:
    """Return where the Redis of state and queues is."""
    return Address.of(settings.SWARM_STATE_URL)


def _followed(kind: Any, channel: Channel | None) -> Any:
    """Return a connection class for which no master, or a full disk, is no connection.

    Celery tries a lost connection again, and ends for what it takes for an error of its
    own. With a channel its poller hears when the connection ends.
    """

    class Connection(kind):  # type: ignore[misc]
        # redis-py reads it when a health check fails; a unix socket has none.
        port = 0

        def read_response(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().read_response(*args, **kwargs)
            except redis.ResponseError as error:
                if outage := away(error):
                    self.disconnect()
                    raise outage from None
                raise

        def disconnect(self, *args: Any, **kwargs: Any) -> None:
            super().disconnect(*args, **kwargs)
            if channel is not None and channel._registered:
                channel._on_connection_disconnect(self)

    return Connection


class Transport(kombu.transport.redis.Transport):
    """Redis transport that judges every message before Celery sees it."""

    Channel = Channel
    # The URL that Celery has names nothing but this transport.
    can_parse_url = True

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return where messages are, as banners and errors tell it: without a password."""
        return str(state_address())

    def receive(self, data: bytes, queue: str) -> None:
        """Deliver what was taken off a queue, whatever it is."""
        try:
            message = read(data)
        except Malformed as fault:
            set_aside(queue, str(fault), data)
        else:
            self._deliver(message, queue)

    def _deliver(self, message: Any, queue: str) -> None:
        # What Celery can't take ends the worker, or counts as a lost connection: then
        # it is restored and popped again for ever, by every worker.
        try:
            check(message, queue, current_app.tasks)
        except Malformed as fault:
            set_aside(queue, str(fault), as_json(message))
        else:
            super()._deliver(message, queue)


def is_ours(delivery_tag: Any) -> bool:
    """Tell whether a message was dispatched by the store and carries its ticket."""
    return isinstance(delivery_tag, str) and delivery_tag.startswith(TICKET_MARK)


def as_json(message: Any) -> bytes:
    """Return what was read as JSON as such again."""
    try:
        return json.dumps(message).encode()
    except RecursionError:
        return b"(nested too deeply)"


@cache
def _store() -> RedisStore:
    """Return a store that gives up soon: the worker's main process waits for it."""
    return RedisStore(
        state_address(), template=b"\n", timeout=GIVE_UP_S, resend_silent=False
    )


def set_aside(source: str, why: str, data: bytes) -> None:
    """Log, count and keep a message that is off its queue and can't be used."""
    logger.error("set aside a message from %s: %s", source, why)
    try:
        _store().bury(source, why, data)
    except (redis.RedisError, OSError) as error:
        logger.error("it could not be kept: %s", error)


def displace(key: Key) -> None:
    """Take away what lies under a key and is of another type than kombu reads there."""
    try:
        if _store().displace(key.name, key.kind, key.source):
            logger.error("took away what lay at %s: it is no %s", key.name, key.kind)
    except (redis.RedisError, OSError) as error:
        logger.error("what lies at %s could not be looked at: %s", key.name, error)


def mended(call: Callable[[], Any], keys: Iterable[Key]) -> Any:
    """Return what a call of kombu's answers, whatever types lie under its keys."""
    try:
        return call()
    except redis.ResponseError as error:
        if not wrong_type(error):
            raise
    for key in keys:
        displace(key)
    return call()


def wrong_type(error: Exception) -> bool:
    """Tell whether Redis refused a command for what lies under its key."""
    return isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error)
