"""Output events of a running attempt are appended under its fence, once, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

from store_boxes import Box
from store_calls import (
    CHORD,
    KEY,
    RUN,
    A,
    B,
    C,
    batch,
    begin,
    check,
    claim,
    claim_batch,
    move,
    opened,
    ref,
    results,
    settling,
    spec,
    twice,
)

from engine.store.redis import RedisStore

SAID = b'{"e":[["output","/children/0",1,1,[]]]}'
FIRST = batch(0, 4)


def emit(box: Box, mark: int = 1, by: str = A, seq: int = 0) -> str:
    """Emit for the root chain, twice."""
    return twice(box, lambda: box.store.emit(ref(), seq, by, mark, SAID))


def last(store: RedisStore) -> bytes:
    return store.journal("0", 1000)[-1].data


def test_events_of_the_owner_are_in_the_journal_at_once(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    before = box.view(RUN)
    assert emit(box) == "ok"
    assert last(store) == SAID
    assert before is not None
    assert box.view(RUN) == replace(before, number=before.number + 1)
    check(box)


def test_each_mark_is_an_entry_of_its_own(box: Box, store: RedisStore) -> None:
    begin(box)
    number = len(store.journal("0", 100))
    assert [emit(box, mark) for mark in (1, 2, 3)] == ["ok"] * 3
    assert len(store.journal("0", 100)) == number + 3
    check(box)


def test_the_attempt_continues_after_it_emitted(box: Box, store: RedisStore) -> None:
    begin(box)
    emit(box)
    twice(box, lambda: store.commit(move("c")))
    assert emit(box, 2, seq=1) == "ok"
    check(box)


def test_a_stale_attempt_emits_nothing(box: Box, store: RedisStore) -> None:
    begin(box)
    written = len(store.journal("0", 100))
    assert emit(box, by=B) == "stale"
    assert emit(box, seq=1) == "stale"
    assert store.emit(ref(gen=2), 0, A, 1, SAID) == "stale"
    assert store.emit(replace(ref(), run="R-9"), 0, A, 1, SAID) == "gone"
    assert len(store.journal("0", 100)) == written
    store.commit(move("c"))
    assert emit(box, 2) == "stale"


def test_nothing_is_printed_after_the_run_is_over(box: Box, store: RedisStore) -> None:
    begin(box)
    store.finish(RUN, 1, "cancelled", "enough")
    assert store.emit(ref(), 0, A, 1, SAID) == "over"
    assert last(store) != SAID


def test_an_attempt_continues_to_emit_while_its_run_is_paused(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.pause(RUN)
    assert emit(box) == "ok"


def test_the_owner_of_a_batch_speaks_for_its_lanes(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=6, batch=4))
    claim_batch(box, FIRST)
    assert twice(box, lambda: store.emit(FIRST, 0, B, 1, SAID)) == "ok"
    twice(box, lambda: store.commit_batch(results(FIRST, 0, 2)))
    assert store.emit(FIRST, 0, B, 2, SAID) == "ok"
    assert store.emit(FIRST, 0, C, 3, SAID) == "stale"
    assert store.emit(batch(4, 6), 0, B, 3, SAID) == "stale"
    assert store.emit(batch(0, 4, "0.k9"), 0, B, 3, SAID) in ("gone", "stale")
    check(box)
    store.commit_batch(results(FIRST, 2, 2))
    assert store.emit(FIRST, 0, B, 4, SAID) == "stale"


def test_a_lane_of_a_decided_chord_emits_nothing(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=6, mode="race"))
    claim(box, f"{CHORD}.0", B)
    claim(box, f"{CHORD}.1", C)
    lane = ref(f"{CHORD}.1")
    assert store.emit(lane, 0, C, 1, SAID) == "ok"
    store.settle(settling(0, B, decides=True))
    assert store.emit(lane, 0, C, 2, SAID) == "closed"


def test_a_settled_lane_leaves_no_mark_behind(box: Box, store: RedisStore) -> None:
    opened(box)
    claim(box, f"{CHORD}.0", B)
    store.emit(ref(f"{CHORD}.0"), 0, B, 1, SAID)
    store.settle(settling(0, B))
    assert not box.client.hexists(f"swarm:s:r:{KEY}", f"e:{CHORD}.0")
    assert store.emit(ref(f"{CHORD}.0"), 0, B, 2, SAID) in ("gone", "stale")
