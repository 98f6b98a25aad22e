"""Our kombu Transport for Redis, changed where a worker would exit or loop."""

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
import orjson
import redis
from celery import current_app
from django.conf import settings
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import OutOfMemoryError

from engine.store.redis import RedisStore
from engine.store.server_url import ServerUrl, outage_of
from engine.store.spec import TICKET_MARK
from workers.broker.message_checks import Malformed, check, check_kept, read
from workers.broker.messages import is_own
from workers.broker.queue_order import QueueOrder

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
"""The transport options of a connection; its server is that of the state."""
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Key:
    """A key that kombu reads, the type it needs, and the source of its dead letters."""

    name: str
    kind: str
    source: str


class QoS(kombu.transport.redis.QoS):
    """Keeps our unacknowledged messages in the worker's memory alone.

    kombu keeps a copy of every unacknowledged message in Redis, which is more than half
    of a delivery's cost. Ours need no copy: the store knows which tickets were never
    claimed and dispatches them again (ADR 0011). Other messages have their copy.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Keep a message that was handed out."""
        if has_ticket(delivery_tag):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            with_types(self._keys(), super().append, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that is done."""
        if has_ticket(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            with_types(self._keys(), super().ack, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message, or put it back at the head of its queue."""
        if not has_ticket(delivery_tag):
            with_types(self._keys(), super().reject, delivery_tag, requeue)
            return
        if requeue:
            self.restore_by_tag(delivery_tag, leftmost=True)
        virtual.QoS.ack(self, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Restore what other workers left unacknowledged, unless Redis is full.

        kombu does it when it begins to consume. A worker must start all the same: its
        steward makes room.
        """
        try:
            with_types(self._keys(), super().restore_visible, *args, **kwargs)
        except OutOfMemoryError as error:
            logger.warning("Unacknowledged messages are not restored: %s", error)

    def _keys(self) -> list[Key]:
        prefix = self.channel.global_keyprefix
        return [
            Key(prefix + self.unacked_key, "hash", "unacked"),
            Key(prefix + self.unacked_index_key, "zset", "unacked"),
        ]

    def restore_by_tag(
        self, tag: str, client: Any = None, leftmost: bool = False
    ) -> None:
        """Put one message back into its queue."""
        if not has_ticket(tag):
            if self._is_restorable(tag, client):
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

    def _is_restorable(self, tag: str, client: Any) -> bool:
        """Return whether kombu can restore a tag's copy; set aside one that it can't."""
        with self.channel.conn_or_acquire(client) as client:
            kept = client.hget(self.unacked_key, tag)
            if kept is None:
                return True
            try:
                check_kept(kept)
            except Malformed as fault:
                self._remove_from_indices(tag).execute()
                set_aside("unacked", str(fault), kept)
                return False
        return True


class Channel(kombu.transport.redis.Channel):
    """A channel that survives a Redis restart with unacknowledged messages in hand."""

    QoS = QoS
    queue_order_strategy: Any = QueueOrder

    def _brpop_read(self, **options: Any) -> bool:
        """Read the reply of a BRPOP as kombu does, but leave its bytes undecoded."""
        try:
            connection = self.client.connection
            try:
                found = self.client.parse_response(connection, "BRPOP", **options)
            except self.connection_errors:
                connection.disconnect()
                raise
            except redis.ResponseError as error:
                if not is_wrong_type(error):
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
            self._in_poll = False
            self._flush_brpop_reauth()

    def _receive_one(self, client: Any) -> Any:
        """Receive one broadcast; set aside one that is not JSON."""
        try:
            return super()._receive_one(client)
        except (Empty, RecursionError):
            set_aside("broadcast", "not JSON; the log shows its beginning", b"")
            return None

    def get_table(self, exchange: str) -> list[tuple[str, ...]]:
        """Return the bindings of an exchange, without malformed ones."""
        rows = with_types(self._bindings(exchange), super().get_table, exchange)
        return [row for row in rows if len(row) == 3]

    def _list(self, queue: str) -> Key:
        return Key(self.global_keyprefix + queue, "list", queue)

    def _bindings(self, exchange: str) -> list[Key]:
        names = self.keyprefix_queue, self.keyprefix_binding_permanent
        return [
            Key(self.global_keyprefix + name % (exchange,), "set", "bindings")
            for name in names
        ]

    def _size(self, queue: str) -> int:
        return int(with_types([self._list(queue)], super()._size, queue))

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        with_types([self._list(queue)], super()._put, queue, message, **options)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return the same client for every operation of a connection pool.

        kombu makes a new one each time, which costs a sixth of a worker's time.
        """
        # The asynchronous client occupies a connection with its BRPOP: it is not shared.
        if asynchronous:
            return super()._create_client(asynchronous)
        kept = self._kept_client
        if kept is None or kept.connection_pool is not self.pool:
            kept = self._kept_client = super()._create_client()
        return kept

    _kept_client: Any = None

    def _queue_bind(self, *args: Any) -> None:
        """Bind a queue, unless Redis is full.

        Only replies to `inspect` need a binding: our messages go through the default
        exchange, broadcasts through a subscription.
        """
        try:
            with_types(self._bindings(args[0]), super()._queue_bind, *args)
        except OutOfMemoryError as error:
            logger.warning("Queue %s is not bound: %s", args[-1], error)

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep bindings alive; kombu would log a traceback a second in a full Redis."""
        with contextlib.suppress(OutOfMemoryError):
            super().maybe_refresh_binding_expiry()

    def _get_pool(self, asynchronous: bool = False) -> redis.ConnectionPool:
        """Return a pool to the server of the state, with the options of the state."""
        # After a lost connection kombu restores and acknowledges through a channel
        # whose connection is gone; an AttributeError there ends the whole worker.
        if getattr(self.connection, "client", None) is None:
            raise redis.ConnectionError("the channel's connection is closed")
        server_url = state_url()
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=server_url.db)
        options = {name: getattr(self, name) for name in PATIENCE}
        if asynchronous:
            # redis-py would reconnect and then read for ever, without a subscription or
            # a BRPOP. Celery sends both again when it learns that the connection ended.
            options["retry_on_timeout"] = False
        pool = server_url.pool(**options)
        pool.connection_class = _connection_class(
            pool.connection_class, self if asynchronous else None
        )
        return pool


def state_url() -> ServerUrl:
    """Return the URL of the Redis with state and queues."""
    return ServerUrl.of(settings.SWARM_STATE_URL)


def _connection_class(kind: Any, channel: Channel | None) -> Any:
    """Return a connection class that reports a missing master or a full disk as an outage.

    Celery reconnects after an outage, and exits on any other error. A channel, if given,
    is notified when the connection ends.
    """

    class Connection(kind):  # type: ignore[misc]
        # redis-py reads it when a health check fails; a unix socket has none.
        port = 0

        def read_response(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().read_response(*args, **kwargs)
            except redis.ResponseError as error:
                if outage := outage_of(error):
                    self.disconnect()
                    raise outage from None
                raise

        def disconnect(self, *args: Any, **kwargs: Any) -> None:
            super().disconnect(*args, **kwargs)
            if channel is not None and channel._registered:
                channel._on_connection_disconnect(self)

    return Connection


class Transport(kombu.transport.redis.Transport):
    """Redis transport that checks every message before Celery sees it."""

    Channel = Channel
    # The URL in Celery's settings only names this transport.
    can_parse_url = True

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return the URL of the server for banners and errors, without a password."""
        return str(state_url())

    def receive(self, data: bytes, queue: str) -> None:
        """Deliver the bytes of a message, or set them aside."""
        if is_own(data, queue, current_app.tasks):
            super()._deliver(orjson.loads(data), queue)
            return
        try:
            message = read(data)
        except Malformed as fault:
            set_aside(queue, str(fault), data)
        else:
            self._deliver(message, queue)

    def _deliver(self, message: Any, queue: str) -> None:
        # A malformed message ends the worker, or counts as a lost connection: then kombu
        # restores it, and every worker pops it again for ever.
        try:
            check(message, queue, current_app.tasks)
        except Malformed as fault:
            set_aside(queue, str(fault), as_json(message))
        else:
            super()._deliver(message, queue)


def has_ticket(delivery_tag: Any) -> bool:
    """Return whether a delivery tag is a ticket of the store, as our messages have."""
    return isinstance(delivery_tag, str) and delivery_tag.startswith(TICKET_MARK)


def as_json(message: Any) -> bytes:
    """Return a value as JSON text."""
    try:
        return json.dumps(message, default=str).encode()
    except RecursionError:
        return b"(nested too deeply)"


@cache
def _store() -> RedisStore:
    """Return a store with a short timeout: the worker's main process waits for it."""
    return RedisStore(
        state_url(), template=b"\n", timeout=TIMEOUT_S, resend_silent=False
    )


def set_aside(source: str, why: str, data: bytes) -> None:
    """Log, count and keep a malformed message that was taken off its queue."""
    logger.error("set aside a message from %s: %s", source, why)
    try:
        _store().bury(source, why, data)
    except (redis.RedisError, OSError) as error:
        logger.error("The message could not be kept: %s", error)


def displace(key: Key) -> None:
    """Remove the value under a key if kombu needs another type there."""
    try:
        if _store().displace(key.name, key.kind, key.source):
            logger.error("Removed the value of %s, which is no %s.", key.name, key.kind)
    except (redis.RedisError, OSError) as error:
        logger.error("The type of %s could not be checked: %s", key.name, error)


def with_types(
    keys: Iterable[Key], call: Callable[..., Any], *args: Any, **options: Any
) -> Any:
    """Return the result of a call of kombu's that needs keys of certain types.

    If one has another type, its value is removed and the call is made again.
    """
    try:
        return call(*args, **options)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
    for key in keys:
        displace(key)
    return call(*args, **options)


def is_wrong_type(error: redis.ResponseError) -> bool:
    """Return whether Redis refused a command because of the type of a value."""
    return "WRONGTYPE" in str(error)
