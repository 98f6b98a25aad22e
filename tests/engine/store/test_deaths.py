"""A keeper's report of a dead worker: its leases end, and a lost step names the cause."""

from __future__ import annotations

from store_boxes import Box
from store_calls import (
    CHORD,
    ENGINE,
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
    opened,
    ref,
    spec,
)

from engine.store.base import Lease, Renewal
from engine.store.redis import RedisStore


def test_a_keeper_that_knows_how_a_worker_died_reports_it_and_the_lease_is_over(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    how = 'the last worker was ended by "signal 9"'
    assert store.died(Lease(KEY, "0", A), how) is True
    assert store.died(Lease(KEY, "0", B), how) is False
    assert store.died(Lease("R-9:1", "0", A), how) is False
    assert store.expire(1) == 1
    assert store.died(Lease(KEY, "0", A), how) is False
    assert claim(box, "0", B).signal is None
    check(box)
    assert store.died(Lease(KEY, "0", B), "\u2026") is True
    assert store.expire(1) == 1
    got = claim(box, "0", C, ENGINE)
    assert got.signal == '{"lost":2,"how":"\u2026"}'.encode()


def test_where_no_worker_lives_every_lease_ends_at_once(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert store.leased(RUN) == 1
    # A steward that has not watched yet takes back those alone that were ended.
    assert store.expire(1, only_ended=True) == 0
    assert store.end_leases() == 1
    assert store.expire(1, only_ended=True) == 1
    assert (store.leased(RUN), store.end_leases()) == (0, 0)
    assert claim(box, "0", B).record.lost == 1
    check(box)


def test_a_lease_that_was_ended_by_mistake_is_renewed(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert store.end_leases() == 1
    assert store.renew([Lease(KEY, "0", A)]) == [Renewal.KEPT]
    assert store.expire(1, only_ended=True) == 0
    check(box)


def test_how_an_earlier_worker_died_is_not_reported_for_the_last(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert store.died(Lease(KEY, "0", A), "by a signal")
    # Its outcome was known before: nothing is lost.
    assert store.signal(ref(), 0, A, b"{}") == "ok"
    for _ in range(2):
        claim(box, "0", B, ENGINE)
        box.pass_time(61_000 + 6_000)
        assert store.expire(1) == 1
        check(box)
    assert claim(box, "0", C, ENGINE).signal == b'{"lost":2}'


def test_a_batch_whose_worker_died_goes_out_at_once(
    box: Box, store: RedisStore
) -> None:
    opened(box, spec(size=4, batch=4))
    claim_batch(box, batch(0, 4), B)
    dead = Lease(KEY, f"{CHORD}:0-4", B)
    assert store.died(dead, "by a signal") is True
    assert store.expire(3) == 1
    assert claim(box, f"{CHORD}.0", C).record.lost == 0
    assert store.died(dead, "by a signal") is False
    check(box)
