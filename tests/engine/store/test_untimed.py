"""Claims of a process in which a debugger may stop an attempt: no deadline, same record."""

from __future__ import annotations

import pytest
from store_boxes import LEASE_MS, Box
from store_calls import (
    KEY,
    LUA,
    STEP,
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
    promote,
    ref,
    results,
    spec,
    starting,
)

from engine.store.base import Claimed, Lease, Moved, Renewal
from engine.store.record import Record
from engine.store.redis import RedisStore
from engine.testing import TEMPLATE

HOUR_MS = 3_600_000
OWN_MS = STEP.timeout_ms


@pytest.fixture
def untimed(store: RedisStore) -> RedisStore:
    """Return a second client of the store under test, whose attempts have no deadline."""
    url = store.wire._server_url
    return RedisStore(url, template=TEMPLATE, lease_ms=LEASE_MS, untimed=True)


def renewed_for_an_hour(box: Box, store: RedisStore, by: str, *members: str) -> None:
    """Renew leases each few seconds as a keeper does, far beyond the attempt's timeout."""
    leases = [Lease(KEY, member, by) for member in members or ["0"]]
    kept = [Renewal.KEPT] * len(leases)
    for _ in range(20):
        box.pass_time(LEASE_MS - 1_000)
        assert store.renew(leases) == kept
        assert store.expire(3) == 0
    box.pass_time(HOUR_MS)
    assert store.renew(leases) == kept
    assert store.expire(3) == 0
    check(box)


def found(store: RedisStore, addr: str = "0") -> Record:
    record = store.record(KEY, addr)
    assert record is not None
    return record


@pytest.mark.parametrize("way", ["claim", "claim_next"])
def test_an_untimed_claim_of_a_timed_record_is_renewed_beyond_its_timeout(
    box: Box, store: RedisStore, untimed: RedisStore, way: str
) -> None:
    store.start(starting())
    if way == "claim":
        assert isinstance(untimed.claim(ref(), A, LUA), Claimed)
    else:
        assert untimed.claim_next([LUA], A, 10 * OWN_MS) is not None
    assert found(store).timeout_ms == OWN_MS
    renewed_for_an_hour(box, untimed, A)


@pytest.mark.parametrize("keep_tries", [False, True])
def test_so_is_the_next_step_of_its_delivery(
    box: Box, store: RedisStore, untimed: RedisStore, keep_tries: bool
) -> None:
    begin(box)
    moved = untimed.commit(move("c", keep_tries=keep_tries))
    assert isinstance(moved, Moved)
    assert moved.deadline_ms > box.clock.now + HOUR_MS
    assert found(store).timeout_ms == OWN_MS
    renewed_for_an_hour(box, untimed, A)


def test_so_is_a_lane_that_leaves_its_batch(
    box: Box, store: RedisStore, untimed: RedisStore
) -> None:
    opened(box, spec(size=4, batch=4))
    claim_batch(box, batch(0, 4))
    made = results(batch(0, 4), 0, 1, promote=promote("c"))
    moved = untimed.commit_batch(made)
    assert isinstance(moved, Moved)
    assert moved.deadline_ms > box.clock.now + HOUR_MS
    lane = found(store, "0.k1.1")
    assert lane.timeout_ms == 20_000
    renewed_for_an_hour(box, untimed, B, "0.k1.1", "0.k1:0-4")


@pytest.mark.parametrize("way", ["released", "expired"])
def test_those_who_come_after_it_have_the_timeout(
    box: Box, store: RedisStore, untimed: RedisStore, way: str
) -> None:
    store.start(starting())
    assert isinstance(untimed.claim(ref(), A, LUA), Claimed)
    untimed.commit(move("c"))
    if way == "released":
        untimed.commit(move("p", seq=1, edits=b"", gives_back=True))
    else:
        box.pass_time(LEASE_MS + 1_000)
        assert store.expire(3) == 1
    record = claim(box, "0", C).record
    assert record.deadline_ms == box.clock.now + OWN_MS
    box.pass_time(2 * OWN_MS)
    assert store.renew([Lease(KEY, "0", C)]) == [Renewal.STALE]
