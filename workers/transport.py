"""Our kombu Transport: Redis, mended where a fleet would exit or loop (mechanism-notes 5, 10)."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import kombu.transport.redis
import redis
from django.conf import settings
from kombu.transport import virtual
from redis.exceptions import OutOfMemoryError

from engine.store.address import Address, away
from workers.queue import TICKET_MARK

logger = logging.getLogger(__name__)

REQUIRED_HEADERS = ("id", "task")
REQUIRED_PROPERTIES = ("delivery_tag", "delivery_info")
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
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message that was worked off."""
        if is_ours(delivery_tag):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message, or put it back at the head of its queue."""
        if not is_ours(delivery_tag):
            super().reject(delivery_tag, requeue)
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
            super().restore_visible(*args, **kwargs)
        except OutOfMemoryError as error:
            logger.warning("unacknowledged messages stay where they are: %s", error)

    def restore_by_tag(
        self, tag: str, client: Any = None, leftmost: bool = False
    ) -> None:
        """Put one message back into its queue."""
        if not is_ours(tag):
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


class Channel(kombu.transport.redis.Channel):
    """A channel that survives a Redis restart with unacknowledged messages in hand."""

    QoS = QoS

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return one client for a connection pool, where kombu makes one an operation.

        Making it costs a sixth of a worker's time (performance-notes 1).
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
            super()._queue_bind(*args)
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
        pool = address.pool(**{name: getattr(self, name) for name in PATIENCE})
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
    """Redis transport that drops malformed messages instead of looping on them."""

    Channel = Channel
    # The URL that Celery has names nothing but this transport.
    can_parse_url = True

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return where messages are, as banners and errors tell it: without a password."""
        return str(state_address())

    def _deliver(self, message: dict[str, Any], queue: str) -> None:
        fault = malformed(message)
        if fault and not is_control(queue):
            # A message without an id counts as a connection error in Celery: it would
            # be restored and popped again for ever, by every worker.
            logger.error("dropped a malformed message from %s: %s", queue, fault)
            return
        super()._deliver(message, queue)


def is_ours(delivery_tag: Any) -> bool:
    """Tell whether a message was dispatched by the store and carries its ticket."""
    return isinstance(delivery_tag, str) and delivery_tag.startswith(TICKET_MARK)


def is_control(queue: str) -> bool:
    """Tell whether a queue carries Celery's own talk: `inspect`, its replies, events."""
    return queue.endswith(".pidbox") or queue.startswith("celeryev")


def malformed(message: Any) -> str:
    """Return what a queue message lacks, empty if it can be handed to Celery."""
    if not isinstance(message, dict):
        return "not an object"
    headers, properties = message.get("headers"), message.get("properties")
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        return "headers or properties are missing"
    for name in REQUIRED_HEADERS:
        if not headers.get(name):
            return f"header {name!r} is missing"
    for name in REQUIRED_PROPERTIES:
        if not properties.get(name):
            return f"property {name!r} is missing"
    return ""
