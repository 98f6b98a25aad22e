"""Generations of one run: only the current one moves, and each has keys of its own."""

from __future__ import annotations

import pytest
from store_boxes import Box
from store_calls import (
    CHORD,
    ENGINE,
    ENTRY,
    KEY,
    LUA,
    RUN,
    A,
    B,
    C,
    batch,
    begin,
    check,
    claim,
    move,
    opened,
    ref,
    settling,
    spec,
    starting,
)

from engine.store.addresses import member_of
from engine.store.base import Claimed, Lease, Move, Refused, Renewal
from engine.store.redis import RedisStore

NEXT = f"{RUN}:2"


def ended(box: Box) -> None:
    """End generation 1 with a chord whose lanes are half settled."""
    opened(box)
    claim(box, f"{CHORD}.0", B)
    box.store.settle(settling(0))
    claim(box, f"{CHORD}.1", C)
    assert box.store.finish(RUN, 1, "failed", "by a test") == "ok"


def test_a_generation_begins_when_the_one_before_has_ended(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert store.start(starting(gen=2)) == "running"
    store.pause(RUN)
    assert store.start(starting(gen=2)) == "paused"
    assert store.finish(RUN, 1, "failed", "by a test") == "ok"
    assert store.start(starting(gen=2)) == "ok"
    assert store.start(starting(gen=2)) == "ok"
    assert store.start(starting(gen=1)) == "stale"
    head = store.head(RUN)
    assert head is not None
    assert (head.gen, head.status, head.number) == (2, "running", 1)
    before = store.head_of(KEY)
    assert before is not None
    assert (before.gen, before.status) == (1, "failed")
    # Each generation numbers its entries by itself.
    numbers = [(entry.gen, entry.number) for entry in store.journal("0", 99)]
    assert numbers == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)]


def test_what_comes_late_for_an_ended_generation_changes_nothing_of_the_next(
    box: Box, store: RedisStore
) -> None:
    ended(box)
    late = [box.take(LUA, f"{CHORD}.{lane}") for lane in (2, 3)]
    assert store.start(starting(gen=2)) == "ok"
    begun = box.view(RUN)
    lane = ref(f"{CHORD}.1")
    assert store.settle(settling(1, C)) == Refused("over")
    assert store.commit(move("c", ref=lane, by=C)) == Refused("over")
    assert store.signal(lane, 0, C, b"{}") == "over"
    assert store.emit(lane, 0, C, 1, b"{}") == "over"
    assert store.renew([Lease(KEY, lane.addr, C)]) == [Renewal.CANCELLED]
    for message in filter(None, late):
        assert message.gen == 1
        assert store.claim(ref(message.addr), A, LUA) == Refused("over")
    box.pass_time(11_000)
    assert (store.expire(3), store.fire().moved) == (0, 0)
    assert box.view(RUN) == begun


def test_lanes_that_an_ended_generation_left_close_no_lane_of_the_next(
    box: Box, store: RedisStore
) -> None:
    ended(box)
    store.start(starting(gen=2))
    claim(box, "0", A)
    opening = Move(ref(gen=2), 0, A, *_rest_of(move("c")))
    assert store.commit(opening).deadline_ms  # type: ignore[union-attr]
    assert store.results(NEXT, CHORD, 0, 4) == {}
    assert set(store.results(KEY, CHORD, 0, 4)) == {0}


def _rest_of(made: Move) -> tuple[object, ...]:
    return made.kind, made.offset, made.edits, made.pending, ENTRY


@pytest.mark.parametrize("removed", [False, True])
def test_a_removed_generation_is_stale_for_everyone(
    box: Box, store: RedisStore, removed: bool
) -> None:
    ended(box)
    store.start(starting(gen=2))
    store.remove(KEY)
    if removed:
        box.client.delete(f"swarm:s:r:{KEY}")
    why = "stale" if removed else "over"
    assert store.claim(ref(f"{CHORD}.2"), A, LUA) == Refused(why)
    assert store.commit(move("c", by=A)) == Refused(why)
    assert store.claim_batch(batch(2, 4), A, LUA) == Refused(why)
    assert store.signal(ref(f"{CHORD}.1"), 0, C, b"{}") == "over"
    assert store.renew([Lease(KEY, member_of(batch(2, 4)), C)]) == [Renewal.CANCELLED]
    assert store.finish(RUN, 1, "cancelled", "too late") == "stale"
    assert isinstance(store.claim(ref(gen=2), A, LUA), Claimed)
    check(box)


def test_a_generation_finished_before_its_start_never_starts(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert store.finish(RUN, 2, "cancelled", "no") == "ok"
    assert store.start(starting(gen=2)) == "cancelled"
    assert store.pause(RUN) == "cancelled"
    # What worked on the generation before has lost it.
    assert store.commit(move("c")) == Refused("over")
    assert store.claim(ref(), B, ENGINE) == Refused("over")
    assert store.start(starting(gen=3)) == "ok"


def test_the_calls_by_run_find_the_current_generation(
    box: Box, store: RedisStore
) -> None:
    store.start(starting())
    store.finish(RUN, 1, "failed", "by a test")
    store.start(starting(gen=2))
    assert store.pause(RUN) == "ok"
    assert store.claim(ref(gen=2), A, LUA) == Refused("held")
    assert store.resume(RUN) == "ok"
    assert isinstance(store.claim(ref(gen=2), A, LUA), Claimed)
    assert store.leased(RUN) == 1
    last = store.journal("0", 99)[-3:]
    assert [entry.gen for entry in last] == [2, 2, 2]
    assert store.finish(RUN, 2, "cancelled", "enough") == "ok"


def test_every_key_of_a_run_but_its_pointer_names_the_generation(
    box: Box, store: RedisStore
) -> None:
    opened(box, spec(4, window=2))
    store.upload_items(KEY, "0.k9", A, [b"[1]"])
    store.pause(RUN)
    box.take(LUA, f"{CHORD}.0")
    store.claim(ref(f"{CHORD}.0"), B, LUA)
    keys = {key.decode() for key in box.client.keys("swarm:s:*R-1*")}
    assert keys - {f"swarm:s:p:{RUN}"}
    for key in keys - {f"swarm:s:p:{RUN}"}:
        assert key == f"swarm:s:r:{KEY}" or key.startswith(f"swarm:s:r:{KEY}:")
