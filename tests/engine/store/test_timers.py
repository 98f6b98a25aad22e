"""Many timers at once: all are fired, and none keeps the end of a run waiting."""

from __future__ import annotations

from store_boxes import Box
from store_calls import KEY, LUA, RUN, A, begin, move, starting

from engine.store.base import Ref
from engine.store.redis import RedisStore


def test_the_end_of_a_run_waits_behind_no_retries(box: Box, store: RedisStore) -> None:
    for number in range(150):
        run = f"R-{number}"
        assert store.start(starting(run=run)) == "ok"
        store.claim(Ref(run, 1, "0"), A, LUA)
        store.commit(move("w", ref=Ref(run, 1, "0"), delay_ms=1_000))
    assert store.start(starting(run="R-late", deadline_ms=2_000)) == "ok"
    box.pass_time(3_000)

    first = store.fire()
    assert store.head("R-late").status == "failed"  # type: ignore[union-attr]
    assert first == (101, True)
    assert store.fire() == (50, False)


def test_retries_alone_are_fired_while_no_steward_leads(
    box: Box, store: RedisStore
) -> None:
    begin(box, deadline_ms=2_000)
    store.commit(move("w", delay_ms=1_000))
    assert store.start(starting(run="R-late", deadline_ms=2_000)) == "ok"
    box.pass_time(3_000)

    store.elect("a steward", 60_000)
    assert not store.fire_unled()
    assert store.record(KEY, "0").state == "w"  # type: ignore[union-attr]
    store.abdicate("a steward")
    assert store.fire_unled()
    assert store.record(KEY, "0").state == "p"  # type: ignore[union-attr]
    assert store.head("R-late").status == "running"  # type: ignore[union-attr]


def test_a_run_that_is_over_has_no_deadline(box: Box, store: RedisStore) -> None:
    for how in ("finished", "ended by its last transition"):
        box.empty()
        begin(box, deadline_ms=60_000)
        view = box.view(RUN)
        assert view is not None
        assert view.timers == {("0", 0, "deadline"): box.clock.now + 60_000}
        if how == "finished":
            store.finish(RUN, 1, "cancelled", "no")
        else:
            store.commit(move("d"))
        view = box.view(RUN)
        assert view is not None
        assert view.timers == {}, how
