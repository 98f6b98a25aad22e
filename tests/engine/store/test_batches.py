"""Lanes in batches: claimed, committed, promoted, given back, broken up and lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from store_boxes import Box
from store_calls import (
    CHORD,
    ENGINE,
    KEY,
    LUA,
    RUN,
    A,
    B,
    C,
    D,
    batch,
    check,
    claim,
    claim_batch,
    opened,
    promote,
    ref,
    results,
    spec,
    twice,
)

from engine.store.base import (
    BatchClaimed,
    Joined,
    LaneResult,
    Lease,
    Moved,
    Refused,
)
from engine.store.redis import RedisStore

FIRST = batch(0, 4)
LAST = batch(4, 6)
IN_BATCHES = spec(size=6, batch=4, mode="all")
# Nonces are hex: none of their first characters may read as a mark of a batch.
OWNERS = [B, "deadbeef0000", "0123456789ab", "f00000000000"]


def commit(box: Box, made: Any) -> Any:
    """Commit twice and audit."""
    answer = twice(box, lambda: box.store.commit_batch(made))
    check(box)
    return answer


@pytest.mark.parametrize("owner", OWNERS)
def test_batches_settle_their_lanes_and_the_last_joins(
    box: Box, store: RedisStore, owner: str
) -> None:
    opened(box, IN_BATCHES)
    got = claim_batch(box, FIRST, owner)
    assert got == BatchClaimed(IN_BATCHES, 0, b"[1,2,3]", "p" * 16)
    check(box)
    assert commit(box, results(FIRST, 0, 3, owner)) == Moved()
    assert store.claim_batch(FIRST, owner, LUA) == replace(got, cursor=3)
    assert commit(box, results(FIRST, 3, 1, owner)) == Moved()
    assert store.claim_batch(FIRST, D, LUA) == Refused("over")
    claim_batch(box, LAST, C)
    answer = commit(box, results(LAST, 4, 2, C))
    assert isinstance(answer, Joined)
    assert answer.record.owner == C
    assert store.decided(KEY, CHORD) == "all"
    lanes = store.results(KEY, CHORD, 0, 6)
    assert lanes == {i: (b"r%d\n" % i, None) for i in range(6)}


def test_a_batch_is_claimed_once(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    assert twice(box, lambda: store.claim_batch(FIRST, C, LUA)) == Refused("taken")
    stale = replace(FIRST, gen=2)
    assert store.claim_batch(stale, C, LUA) == Refused("stale")
    assert store.claim_batch(batch(0, 4, "0.k7"), C, LUA) == Refused("gone")
    check(box)


def test_results_out_of_order_or_of_others_are_stale(
    box: Box, store: RedisStore
) -> None:
    opened(box, IN_BATCHES)
    assert store.commit_batch(results(FIRST, 0, 1)) == Refused("stale")
    claim_batch(box, FIRST)
    assert store.commit_batch(results(FIRST, 1, 1)) == Refused("stale")
    assert store.commit_batch(results(FIRST, 0, 1, C)) == Refused("stale")
    unknown = batch(0, 4, "0.k7")
    assert store.commit_batch(results(unknown, 0, 1)) == Refused("gone")
    check(box)


def test_batches_are_sent_within_the_window(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=10, batch=2, window=4))
    sent = [m.addr for m in box.messages(LUA)]
    assert sent == ["0.k1:0-2", "0.k1:2-4"]
    first = batch(0, 2)
    claim_batch(box, first)
    commit(box, results(first, 0, 1))
    commit(box, results(first, 1, 1))
    sent = [m.addr for m in box.messages(LUA)]
    assert sent == ["0.k1:2-4", "0.k1:4-6"]


def test_a_failure_decides_an_all(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    failed = results(FIRST, 0, 2, decided_by=1)
    failed = replace(failed, results=[LaneResult(b"r\n"), LaneResult(b"", b'"no"')])
    answer = commit(box, failed)
    assert isinstance(answer, Joined)
    assert store.decided(KEY, CHORD) == "1"
    assert store.results(KEY, CHORD, 0, 9)[1] == (None, b'"no"')
    assert store.claim_batch(LAST, C, LUA) == Refused("closed")
    assert store.commit_batch(results(FIRST, 2, 1)) == Refused("closed")
    assert store.renew([Lease(KEY, "0.k1:0-4", B)]) == ["c"]
    check(box)


def test_a_promoted_lane_continues_under_the_claim(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    made = results(FIRST, 0, 1, promote=promote("c"))
    answer = commit(box, made)
    assert answer.deadline_ms > box.clock.now
    record = store.record(KEY, "0.k1.1")
    assert record is not None
    assert (record.seq, record.state, record.owner, record.tries) == (1, "r", B, 1)
    assert store.log(KEY, "0.k1.1", record.loglen) == b"own\n"
    leases = [Lease(KEY, "0.k1.1", B), Lease(KEY, "0.k1:0-4", B)]
    assert store.renew(leases) == ["k", "k"]
    assert commit(box, results(FIRST, 2, 2)) == Moved()
    assert store.renew(leases) == ["k", "s"]


def test_a_promoted_lane_is_dispatched(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    assert commit(box, results(FIRST, 0, 3, promote=promote("p"))) == Moved()
    got = claim(box, "0.k1.3", C)
    assert (got.log, got.record.seq, got.record.tries) == (b"own\n", 1, 1)
    assert got.record.timeout_ms == 20_000


def test_a_promoted_lane_waits(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    waits = promote("w", tries=1, delay_ms=5_000)
    assert commit(box, results(FIRST, 0, 0, promote=waits)) == Moved()
    assert commit(box, results(FIRST, 1, 1, promote=promote("w"))) == Moved()
    box.pass_time(6_000)
    assert store.fire().moved == 1
    check(box)
    assert claim(box, "0.k1.0", C).record.tries == 2
    assert store.signal(ref("0.k1.2"), 1, "", b"{}") == "ok"
    check(box)


@pytest.mark.parametrize("what", ["c", "p"])
def test_a_lane_promoted_while_paused_is_held(
    box: Box, store: RedisStore, what: str
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    store.pause(RUN)
    made = results(FIRST, 0, 3, promote=promote(what))
    assert commit(box, made) == Moved(held=True)
    store.resume(RUN)
    check(box)
    # Whoever asks again now must not take itself for the owner.
    assert store.commit_batch(made) == Moved(held=what == "c")
    assert claim(box, "0.k1.3", C).record.seq == 1


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("cursor", [0, 1, 4])
def test_what_is_given_back_is_dispatched_again(
    box: Box, store: RedisStore, cursor: int, owner: str
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST, owner)
    if cursor:
        commit(box, results(FIRST, 0, cursor, owner))
    back = twice(box, lambda: store.release_batch(FIRST, owner, cursor))
    assert back == Moved()
    check(box)
    if cursor == 4:
        return
    box.pass_time(6_000)
    while box.pop(LUA):
        pass
    assert store.repeat(5_000) == 2
    rest = batch(cursor, 4)
    claim_batch(box, rest, C)
    assert commit(box, results(rest, cursor, 4 - cursor, C)) == Moved()


def test_a_batch_is_given_back_by_its_owner_only(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    assert store.release_batch(FIRST, B, 0) == Refused("stale")
    claim_batch(box, FIRST)
    assert store.release_batch(FIRST, C, 0) == Refused("stale")
    assert store.release_batch(FIRST, B, 1) == Refused("stale")
    store.finish(RUN, 1, "cancelled", "enough")
    assert store.release_batch(FIRST, B, 0) == Refused("over")


@pytest.mark.parametrize("owner", OWNERS)
def test_a_lost_batch_goes_out_singly_and_none_is_charged(
    box: Box, store: RedisStore, owner: str
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST, owner)
    commit(box, results(FIRST, 0, 1, owner))
    box.pass_time(11_000)
    assert store.expire(0) == 1
    check(box)
    assert store.commit_batch(results(FIRST, 1, 1, owner)) == Refused("stale")
    assert store.release_batch(FIRST, owner, 1) == Refused("stale")
    assert store.claim_batch(FIRST, C, LUA) == Refused("over")
    for lane in (1, 2, 3):
        got = claim(box, f"0.k1.{lane}", C)
        assert (got.record.tries, got.record.lost) == (0, 0)
    check(box)


def test_a_broken_batch_charges_the_lane_that_ran(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    commit(box, results(FIRST, 0, 1))
    assert store.break_batch(FIRST, C, 2, b"{}") == Refused("stale")
    broken = twice(box, lambda: store.break_batch(FIRST, B, 2, b'{"exit":9}'))
    assert broken == Moved()
    check(box)
    got = claim(box, "0.k1.2", C, ENGINE)
    assert (got.signal, got.record.tries) == (b'{"exit":9}', 1)
    assert claim(box, "0.k1.1", C).record.tries == 0
    assert claim(box, "0.k1.3", D).signal is None
    check(box)
    assert store.commit_batch(results(FIRST, 1, 1)) == Refused("stale")


def test_a_batch_broken_at_a_settled_lane_charges_none(
    box: Box, store: RedisStore
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    commit(box, results(FIRST, 0, 1))
    assert store.break_batch(FIRST, B, 0, b"{}") == Moved()
    check(box)
    for lane in (1, 2, 3):
        claim(box, f"0.k1.{lane}", C)


def test_a_batch_that_meets_a_pause_is_held(box: Box, store: RedisStore) -> None:
    opened(box, IN_BATCHES)
    store.pause(RUN)
    box.take(LUA, "0.k1:0-4")
    assert twice(box, lambda: store.claim_batch(FIRST, B, LUA)) == Refused("held")
    check(box)
    store.resume(RUN)
    check(box)
    claim_batch(box, FIRST)


def test_a_running_batch_ends_and_its_join_is_held(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=4, batch=4))
    claim_batch(box, FIRST)
    store.pause(RUN)
    assert commit(box, results(FIRST, 0, 4)) == Moved(held=True)
    store.resume(RUN)
    check(box)
    got = claim(box, "0", C, ENGINE)
    assert (got.record.frames, got.record.seq) == (b"j[1]", 2)


def test_a_batch_given_back_or_lost_while_paused_is_held(
    box: Box, store: RedisStore
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    claim_batch(box, LAST, C)
    store.pause(RUN)
    assert twice(box, lambda: store.release_batch(FIRST, B, 0)) == Moved()
    check(box)
    box.pass_time(11_000)
    assert store.expire(0) == 1
    check(box)
    view = box.view(RUN)
    assert view is not None
    assert view.held == {("0.k1:0-4", LUA), ("0.k1.4", LUA), ("0.k1.5", LUA)}
    store.resume(RUN)
    check(box)
    claim_batch(box, FIRST, A)


def test_a_batch_learns_of_a_pause_with_its_next_commit(
    box: Box, store: RedisStore
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    store.pause(RUN)
    assert commit(box, results(FIRST, 0, 1)) == Moved(held=True)
    assert store.release_batch(FIRST, B, 1) == Moved()
    check(box)
    view = box.view(RUN)
    assert view is not None
    assert (f"{CHORD}:1-4", LUA) in view.held
    store.resume(RUN)
    claim_batch(box, batch(1, 4), C)
    check(box)


@pytest.mark.parametrize("what", ["c", "p", "w"])
def test_a_batch_learns_of_a_pause_with_a_promoted_lane(
    box: Box, store: RedisStore, what: str
) -> None:
    opened(box, IN_BATCHES)
    claim_batch(box, FIRST)
    store.pause(RUN)
    made = results(FIRST, 0, 1, promote=promote(what))
    assert commit(box, made) == Moved(held=True)
