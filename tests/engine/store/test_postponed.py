"""Transitions that can't be made now: they are given back and taken up again."""

from __future__ import annotations

from dataclasses import replace

from store_boxes import Box
from store_calls import ENGINE, LUA, RUN, A, B, C, begin, check, claim, move, ref, twice

from engine.run.journal.entries import read_entry
from engine.store.base import Moved, Postponed, Refused
from engine.store.redis import RedisStore

PASSED = b'{"kind":"passed"}'
PUT = Postponed(ref(), 0, A, 500)


def test_an_attempt_that_has_not_started_is_not_charged(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert twice(box, lambda: store.postpone(PUT)) == Moved()
    check(box)
    assert store.fire().moved == 0
    box.pass_time(600)
    assert store.fire().moved == 1
    got = claim(box, "0", B)
    assert (got.record.seq, got.record.tries, got.signal) == (0, 1, None)
    # The claim is journaled again, as the same attempt.
    three = map(read_entry, store.journal("0", 10)[1:])
    events = [one.events for one in three]
    assert events == [
        [[kind, "/children/0", 1]] for kind in ("started", "postponed", "started")
    ]
    assert store.postpone(replace(PUT, nonce=C)) == Refused("stale")
    check(box)


def test_an_attempt_that_has_ended_keeps_its_outcome(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    output = b'{"e":[["output"]]}'
    put = replace(PUT, outcome=PASSED, entry=output)
    assert twice(box, lambda: store.postpone(put)) == Moved()
    assert store.journal("0", 10)[-1].data == output
    box.pass_time(600)
    store.fire()
    got = claim(box, "0", B, ENGINE)
    assert (got.record.seq, got.record.tries, got.signal) == (0, 1, PASSED)
    # It is put back once more, with the outcome that it has.
    assert store.postpone(replace(PUT, nonce=B)) == Moved()
    box.pass_time(600)
    store.fire()
    got = claim(box, "0", C, ENGINE)
    assert (got.record.tries, got.signal) == (1, PASSED)
    assert store.commit(move("p", by=C, had_signal=True)) == Moved()
    assert claim(box, "0", A).signal is None
    check(box)


def test_a_pause_holds_what_is_due(box: Box, store: RedisStore) -> None:
    for put, queue in ((PUT, LUA), (replace(PUT, outcome=PASSED), ENGINE)):
        box.empty()
        begin(box)
        store.postpone(put)
        store.pause(RUN)
        box.pass_time(600)
        store.fire()
        assert box.messages(queue) == []
        check(box)
        store.resume(RUN)
        assert (claim(box, "0", B, queue).signal == PASSED) is (queue == ENGINE)
        check(box)


def test_of_a_run_that_is_over_nothing_is_put_back(box: Box, store: RedisStore) -> None:
    begin(box)
    store.finish(RUN, 1, "cancelled", "enough")
    assert store.postpone(PUT) == Refused("over")
    check(box)
