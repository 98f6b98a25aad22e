"""Messages that wait until the journal entry that dispatched them is archived."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_boxes import Box
from store_calls import CHORD, LUA, RUN, A, claim, move, opening, ref, spec, starting

from engine.store.base import Claimed
from engine.store.redis import PER_CALL, STATE, RedisStore
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


def test_a_retry_waits_for_the_entry_of_the_attempt_before_it(
    box: Box, first: RedisStore
) -> None:
    box.store.start(starting())
    claim(box, "0", A)
    first.commit(move("w", delay_ms=50))
    box.pass_time(100)
    assert first.fire().moved == 1
    assert dispatched(box) == 0
    first.release(entries(box)[-1])
    assert dispatched(box) == 1


def test_what_no_entry_dispatches_does_not_wait_once_all_are_archived(
    box: Box, first: RedisStore
) -> None:
    box.store.start(starting())
    claim(box, "0", A)
    first.commit(move("w", delay_ms=50))
    first.trim(entries(box)[-1], 60_000)
    box.pass_time(100)
    assert first.fire().moved == 1
    assert dispatched(box) == 1


def test_every_chain_that_a_resume_sends_waits_for_its_entry(
    box: Box, first: RedisStore
) -> None:
    lanes = 2 * PER_CALL
    box.store.start(starting())
    claim(box, "0", A)
    box.store.open_chord(opening(spec(size=lanes, window=lanes)))
    box.store.pause(RUN)
    for lane in range(lanes):
        assert box.take(LUA, f"{CHORD}.{lane}")
        box.store.claim(ref(f"{CHORD}.{lane}"), "b" * 12, LUA)
    assert dispatched(box) == 0
    assert first.resume(RUN) == "ok"
    assert dispatched(box) == 0
    first.release(entries(box)[-1])
    assert dispatched(box) == lanes


def test_a_message_that_was_lost_after_its_entry_was_archived_does_not_wait(
    box: Box, first: RedisStore
) -> None:
    first.start(starting())
    first.release(entries(box)[-1])
    assert box.take(LUA, "0")
    box.pass_time(60_000)
    assert first.repeat(1000) == 1
    assert box.client.llen(QUEUE) == 1
