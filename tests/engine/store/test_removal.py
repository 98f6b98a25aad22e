"""Keys of a removed run are deleted, some at each call."""

from __future__ import annotations

import pytest
import store_calls as calls
from store_boxes import Box
from store_calls import begin

from engine.store import removals
from engine.store.removals import REMOVED_FIELDS, REMOVED_MS

RUN = "R-1"
KEY = "R-1:1"
HASH = f"swarm:s:r:{KEY}"


def fill(box: Box, chords: int) -> None:
    """Give a run the fields and keys of many chords and chains, and end it."""
    pipe = box.client.pipeline(transaction=False)
    for number in range(chords):
        chord = f"0.k{number}"
        pipe.hset(HASH, mapping={f"k:{chord}": "x", f"c:{chord}.0": "x"})
        if number % 50 == 0:
            pipe.set(f"{HASH}:l:{chord}.0", "log")
            pipe.rpush(f"{HASH}:i:{chord}", "[]")
            pipe.hset(f"{HASH}:k:{chord}", "0", "x")
    pipe.execute()
    box.store.finish(RUN, 1, "cancelled", "by a test")


def test_a_large_run_is_removed_in_portions(box: Box) -> None:
    begin(box)
    fill(box, 10_000)
    fields = box.client.hlen(HASH)
    before = box.store.wire.calls
    box.store.remove(KEY)
    calls_made = box.store.wire.calls - before
    # A scan may return a field twice, and a few more than requested.
    assert calls_made >= fields // (2 * REMOVED_FIELDS)
    assert box.client.keys(f"{HASH}*") == [HASH.encode()]
    assert box.client.hget(HASH, "gone") == b"1"
    assert box.client.scard("swarm:s:removing") == 0
    assert box.store.head(RUN) is None


def test_a_portion_is_bounded_and_what_is_left_is_removed_later(box: Box) -> None:
    begin(box)
    fill(box, 10_000)
    keys = len(box.client.keys(f"{HASH}:*"))
    args = (KEY, REMOVED_MS, "", "0", REMOVED_FIELDS)
    _, cursor = box.store.wire.script("remove", *args)
    left = len(box.client.keys(f"{HASH}:*"))
    # What is left of it is no run already, and nothing of it is lost.
    assert cursor != b"0"
    assert keys // 2 < left
    assert box.store.head(RUN) is None
    assert box.client.smembers("swarm:s:removing") == {KEY.encode()}
    box.store.remove(KEY)
    assert box.client.keys(f"{HASH}*") == [HASH.encode()]


def test_a_generation_begins_while_the_one_before_is_removed(box: Box) -> None:
    begin(box)
    fill(box, 2_000)
    box.store.wire.script("remove", KEY, REMOVED_MS, "", "0", REMOVED_FIELDS)
    assert box.store.start(calls.starting(gen=2)) == "ok"
    begun = box.view(RUN)
    assert box.store.finish_removals() == 1
    assert box.store.finish_removals() == 0
    assert box.client.keys(f"{HASH}:*") == []
    assert box.view(RUN) == begun
    assert box.client.ttl(f"swarm:s:p:{RUN}") == -1
    # The earlier one can't begin again, though nothing is left of it.
    assert box.store.start(calls.starting(gen=1)) == "stale"
    calls.check(box)


def test_many_runs_are_removed_and_each_to_its_end(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "REMOVED_FIELDS", 100)
    begin(box)
    fill(box, 2_000)
    head = box.store.head(RUN)
    assert head is not None
    box.store.remove_all([(KEY, head.number + 1), ("R-unknown:1", 3)])
    assert box.store.head(RUN) is not None
    box.store.remove_all([("R-unknown:1", 3), (KEY, head.number)])
    assert box.client.keys(f"{HASH}*") == [HASH.encode()]


def test_a_run_that_is_not_over_stays(box: Box) -> None:
    begin(box)
    head = box.store.head(RUN)
    assert head is not None
    box.store.remove_all([(KEY, head.number)])
    assert box.store.head(RUN) == head
