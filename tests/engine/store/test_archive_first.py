"""Messages that wait until the journal entry that dispatched them is archived."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_boxes import Box
from store_calls import CHORD, LUA, RUN, A, claim, move, opening, ref, starting

from engine.store.base import Claimed
from engine.store.redis import STATE, RedisStore
from engine.testing import TEMPLATE

QUEUE = f"swarm:q:{LUA}"
WAITING = f"{STATE}unarchived"


@pytest.fixture
def first(swarm_server: str, box: Box) -> Iterator[RedisStore]:
    """A store of `box` whose messages wait for the archive."""
    made = RedisStore(swarm_server, template=TEMPLATE, archive_first=True)
    yield made
    made.wire.close()


def entries(box: Box) -> list[str]:
    """Return the ids of all journal entries."""
    return [entry.id for entry in box.store.journal("0", 100)]


def dispatched(box: Box) -> int:
    """Return how many messages of the queue can be taken, each with its ticket."""
    count = int(box.client.llen(QUEUE))
    assert box.client.zcard(f"{STATE}d:{LUA}") == count
    return count


def test_nothing_follows_from_a_commit_that_is_not_archived(
    box: Box, first: RedisStore
) -> None:
    assert first.start(starting()) == "ok"
    assert dispatched(box) == 0
    first.release("0")
    assert dispatched(box) == 0
    [begun] = entries(box)
    first.release(begun)
    assert dispatched(box) == 1

    claim(box, "0", A)
    first.commit(move("p"))
    *_, started, moved = entries(box)
    first.release(started)
    assert dispatched(box) == 0
    first.release(moved)
    assert dispatched(box) == 1
    first.release(moved)
    assert dispatched(box) == 1
    assert box.client.llen(WAITING) == 0
    message = box.take(LUA, "0")
    assert message is not None
    assert isinstance(box.store.claim(ref(), "b" * 12, LUA), Claimed)
    assert RUN in str(message)


def test_all_lanes_of_a_window_wait_in_their_order(box: Box, first: RedisStore) -> None:
    box.store.start(starting())
    claim(box, "0", A)
    first.open_chord(opening())
    assert dispatched(box) == 0
    first.release(entries(box)[-1])
    assert dispatched(box) == 4
    taken = [box.take(LUA, f"{CHORD}.{lane}") for lane in range(4)]
    assert all(taken)


def test_what_no_entry_dispatches_does_not_wait(box: Box, first: RedisStore) -> None:
    box.store.start(starting())
    claim(box, "0", A)
    first.commit(move("w", delay_ms=50))
    first.release(entries(box)[-1])
    box.pass_time(100)
    assert first.fire().moved == 1
    assert dispatched(box) == 1
