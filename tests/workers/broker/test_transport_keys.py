"""Keys of kombu's that somebody has spoilt while a worker has a message in hand."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bad_messages import QUEUE, theirs
from celery import current_app
from kombu import Queue

from workers.broker import transport

TASK = "theirs.of_this_test"


@pytest.fixture
def their_task() -> Iterator[str]:
    """A task of somebody else's whose messages kombu keeps a copy of."""

    @current_app.task(name=TASK)
    def nothing() -> None: ...

    current_app.finalize()
    yield TASK
    current_app.tasks.unregister(TASK)


@pytest.mark.parametrize(
    "settle",
    [
        lambda message: message.ack(),
        lambda message: message.reject(),
        lambda message: message.requeue(),
    ],
    ids=["ack", "reject", "requeue"],
)
@pytest.mark.parametrize("key", ["unacked", "unacked_index"])
def test_a_message_in_hand_is_settled_though_its_copy_is_spoilt(
    rig: Any, their_task: str, settle: Callable[[Any], None], key: str
) -> None:
    # It is made once a process, and each test has a server of its own.
    transport._store.cache_clear()
    call = rig.store.wire.call
    with current_app.connection_for_read() as connection:
        channel = connection.default_channel
        channel._put(QUEUE, theirs(task=their_task))
        taken: list[Any] = []
        consumer = connection.Consumer(
            [Queue(QUEUE, durable=True)], on_message=taken.append
        )
        with consumer:
            while not taken:
                connection.drain_events(timeout=5)
        call("DEL", f"swarm:q:{key}")
        call("SET", f"swarm:q:{key}", "spoilt")
        settle(taken[0])
        assert call("TYPE", f"swarm:q:{key}") == b"none"
    assert [letter.source for letter in rig.store.dead_letters()] == ["unacked"]
