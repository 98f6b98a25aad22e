"""Keys of a removed run are deleted, some at each call."""

from __future__ import annotations

import pytest
import store_calls as calls
from store_boxes import Box
from store_calls import begin

from engine.store import redis_reads
from engine.store.base import Start
from engine.store.redis_reads import REMOVED_FIELDS, REMOVED_MS

RUN = "R-1"
KEY = f"swarm:s:r:{RUN}"


def fill(box: Box, chords: int) -> None:
    """Give a run the fields and keys of many chords and chains, and end it."""
    pipe = box.client.pipeline(transaction=False)
    for number in range(chords):
        chord = f"0.k{number}"
        pipe.hset(KEY, mapping={f"k:{chord}": "x", f"c:{chord}.0": "x"})
        if number % 50 == 0:
            pipe.set(f"{KEY}:l:{chord}.0", "log")
            pipe.rpush(f"{KEY}:i:{chord}", "[]")
            pipe.hset(f"{KEY}:k:{chord}", "0", "x")
    pipe.execute()
    box.store.finish(RUN, "cancelled", "by a test")


def test_a_large_run_is_removed_in_portions(box: Box) -> None:
    begin(box)
    fill(box, 10_000)
    fields = box.client.hlen(KEY)
    before = box.store.wire.calls
    box.store.remove(RUN)
    calls_made = box.store.wire.calls - before
    # A scan may return a field twice, and a few more than requested.
    assert calls_made >= fields // (2 * REMOVED_FIELDS)
    assert box.client.keys(f"{KEY}*") == [KEY.encode()]
    assert box.client.hget(KEY, "gone") == b"1"
    assert box.client.scard("swarm:s:removing") == 0
    assert box.store.head(RUN) is None


def test_a_portion_is_bounded_and_what_is_left_is_removed_later(box: Box) -> None:
    begin(box)
    fill(box, 10_000)
    keys = len(box.client.keys(f"{KEY}:*"))
    args = (RUN, REMOVED_MS, "", "0", REMOVED_FIELDS)
    _, cursor = box.store.wire.script("remove", *args)
    left = len(box.client.keys(f"{KEY}:*"))
    # What is left of it is no run already, and nothing of it is lost.
    assert cursor != b"0"
    assert keys // 2 < left
    assert box.store.head(RUN) is None
    assert box.client.smembers("swarm:s:removing") == {RUN.encode()}
    box.store.remove(RUN)
    assert box.client.keys(f"{KEY}*") == [KEY.encode()]

    begin_again = calls.starting(gen=2)
    box.client.delete(KEY)
    assert isinstance(begin_again, Start)
    assert box.store.start(begin_again) == "ok"
    fill(box, 2_000)
    box.store.wire.script("remove", *args)
    # A generation that began now would lose what it shares names with.
    assert box.store.start(calls.starting(gen=3)) == "cancelled"
    assert box.store.finish_removals() == 1
    assert box.store.finish_removals() == 0
    assert box.client.keys(f"{KEY}:*") == []
    assert box.store.start(calls.starting(gen=3)) == "ok"


def test_many_runs_are_removed_and_each_to_its_end(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_reads, "REMOVED_FIELDS", 100)
    begin(box)
    fill(box, 2_000)
    head = box.store.head(RUN)
    assert head is not None
    box.store.remove_all([(RUN, head.number + 1), ("R-unknown", 3)])
    assert box.store.head(RUN) is not None
    box.store.remove_all([("R-unknown", 3), (RUN, head.number)])
    assert box.client.keys(f"{KEY}*") == [KEY.encode()]


def test_a_run_that_is_not_over_stays(box: Box) -> None:
    begin(box)
    head = box.store.head(RUN)
    assert head is not None
    box.store.remove_all([(RUN, head.number)])
    assert box.store.head(RUN) == head
