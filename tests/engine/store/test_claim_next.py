"""Taking a queue's next message: one claim, exactly the next, never a foreign one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_boxes import Box
from store_calls import (
    ENGINE,
    LUA,
    STEP,
    A,
    B,
    C,
    begin,
    check,
    move,
    opening,
    ref,
    spec,
    starting,
    twice,
)

from engine.store.base import Ref, Refused
from engine.store.redis import RedisStore

LONG = 10**9


def start(store: RedisStore, *runs: str) -> None:
    for run in runs:
        assert store.start(starting(run=run)) == "ok"


def test_messages_are_taken_in_their_order(box: Box, store: RedisStore) -> None:
    start(store, "R-1", "R-2", "R-3")
    for nonce, run in ((A, "R-1"), (B, "R-2"), (C, "R-3")):
        got = store.claim_next([LUA], nonce, LONG)
        assert got is not None
        assert got[0] == Ref(run, 1, "0")
        assert (got[1].record.owner, got[1].record.tries) == (nonce, 1)
        assert got[1].log == b"[]\n"
        # It is what a claim of that message gives, to the last byte.
        assert store.claim(got[0], nonce, LUA) == got[1]
    assert box.messages(LUA) == []
    assert store.claim_next([LUA], "d" * 12, LONG) is None
    check(box)


def test_a_resend_gets_the_same_chain_and_takes_nothing_else(
    box: Box, store: RedisStore
) -> None:
    start(store, "R-1", "R-2")
    got = twice(box, lambda: store.claim_next([LUA], A, LONG))
    assert got is not None
    assert got[0].run == "R-1"
    assert [message.run for message in box.messages(LUA)] == ["R-2"]


def test_what_was_taken_is_claimed_for_all_others(box: Box, store: RedisStore) -> None:
    start(store, "R-1")
    store.claim_next([LUA], A, LONG)
    assert store.claim(ref(), B, LUA) == Refused("taken")
    box.pass_time(5_000)
    # Its ticket is gone, so it is not taken for a lost message.
    assert store.repeat(5_000) == 0


def test_a_message_of_a_chain_that_is_over_is_dropped_on_the_way(
    box: Box, store: RedisStore
) -> None:
    start(store, "R-1", "R-2")
    store.finish("R-1", 1, "cancelled", "no more")
    got = store.claim_next([LUA], A, LONG)
    assert got is not None
    assert got[0].run == "R-2"
    assert box.messages(LUA) == []


def test_one_that_may_take_too_long_stays_where_it_is(
    box: Box, store: RedisStore
) -> None:
    start(store, "R-1")
    assert STEP.timeout_ms == 60_000
    assert store.claim_next([LUA], A, 59_000) is None
    assert len(box.messages(LUA)) == 1
    assert store.claim_next([LUA], A, 60_000) is not None


def test_a_batch_stays_where_it_is_and_a_lane_is_taken(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.open_chord(opening(spec(4, batch=2)))
    assert store.claim_next([LUA], B, LONG) is None
    assert len(box.messages(LUA)) == 2


def test_a_lane_is_taken_by_its_address(box: Box, store: RedisStore) -> None:
    begin(box)
    store.open_chord(opening(spec(2)))
    got = store.claim_next([LUA], B, LONG)
    assert got is not None
    assert got[0] == ref("0.k1.0")
    assert got[1].chord == spec(2)
    check(box)


def test_a_paused_run_is_held_and_not_taken(box: Box, store: RedisStore) -> None:
    start(store, "R-1")
    store.pause("R-1")
    assert store.claim_next([LUA], A, LONG) is None
    assert store.resume("R-1") == "ok"
    assert store.claim_next([LUA], A, LONG) is not None


def test_a_chain_at_the_engines_queue_is_taken_there(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.commit(move("p", pending=replace(STEP, frames=b"c", queue=ENGINE)))
    assert store.claim_next([LUA], B, LONG) is None
    got = store.claim_next([ENGINE], B, LONG)
    assert got is not None
    assert got[1].record.frames == b"c"
    assert store.claim(got[0], B, ENGINE) == got[1]


@pytest.mark.parametrize("text", [b"no message", b'{"headers": {"task": "theirs"}}'])
def test_a_message_that_is_not_ours_is_left_to_celery(text: bytes, box: Box) -> None:
    box.client.lpush(f"swarm:q:{LUA}", text)
    start(box.store, "R-1")
    assert box.store.claim_next([LUA], A, LONG) is None
    assert box.client.llen(f"swarm:q:{LUA}") == 2


def test_the_first_queue_that_has_a_message_is_taken_from(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.commit(move("p", pending=replace(STEP, frames=b"c", queue=ENGINE)))
    start(store, "R-2", "R-3")
    got = twice(box, lambda: store.claim_next(["swarm.none", LUA, ENGINE], A, LONG))
    assert got is not None
    assert got[0].run == "R-2"
    got = twice(box, lambda: store.claim_next(["swarm.none", ENGINE, LUA], B, LONG))
    assert got is not None
    assert got[0].run == "R-1"
    assert got[1].record.queue == ENGINE
    # What lies in the first one and can't be taken is not passed over.
    assert store.claim_next([LUA, ENGINE], C, 1_000) is None
    assert [message.run for message in box.messages(LUA)] == ["R-3"]
