"""A server whose data were not compared with the archive, and the calls that compare."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_boxes import Box
from store_calls import KEY, LUA, RUN, A, B, begin, move, ref, starting
from store_server import reconciled

from engine.store.base import Claimed, Refused
from engine.store.reconciling import Standing
from engine.store.redis import STATE, RedisStore
from engine.store.wire import RECONCILED, Unreconciled
from engine.testing import TEMPLATE


@pytest.fixture
def wary(swarm_server: str, box: Box) -> Iterator[RedisStore]:
    """A wary store over the data of `box`."""
    made = RedisStore(swarm_server, template=TEMPLATE, wary=True)
    yield made
    made.wire.close()


def test_a_wary_store_does_nothing_until_the_data_are_compared(
    box: Box, wary: RedisStore
) -> None:
    box.store.start(starting())
    with pytest.raises(Unreconciled, match="not compared with the archive"):
        wary.claim(ref(), A, LUA)
    record = box.store.record(KEY, "0")
    assert record is not None
    assert record.owner == ""

    box.client.set(RECONCILED, "another process")
    with pytest.raises(Unreconciled):
        wary.claim(ref(), A, LUA)
    reconciled(box.store)
    assert isinstance(wary.claim(ref(), A, LUA), Claimed)


def test_only_a_new_connection_asks(box: Box, wary: RedisStore) -> None:
    box.store.start(starting())
    reconciled(box.store)
    wary.claim(ref(), A, LUA)
    box.client.delete(RECONCILED)
    before = box.client.info("commandstats")["cmdstat_info"]["calls"]
    wary.commit(move("d"))
    after = box.client.info("commandstats")["cmdstat_info"]["calls"]
    # The one more is that of this test.
    assert after == before + 1
    wary.wire.close()
    with pytest.raises(Unreconciled):
        wary.head(RUN)


def test_a_server_says_whether_it_was_compared(box: Box) -> None:
    store = box.store
    empty = store.standing()
    assert (empty.reconciled, empty.epoch, empty.owner) == ("", "", "")
    assert len(empty.server) == 40
    assert not empty.is_reconciled
    now = reconciled(store).standing()
    assert (now.epoch, now.owner) == ("an epoch", "an installation")
    assert now.is_reconciled
    box.client.delete(f"{STATE}epoch")
    assert not store.standing().is_reconciled


def test_a_frozen_generation_moves_no_more(box: Box) -> None:
    begin(box, deadline_ms=60_000)
    assert box.store.open_generations() == {(RUN, 1)}
    box.store.freeze(KEY)
    assert box.store.open_generations() == set()
    assert box.store.commit(move()) == Refused("over")
    assert box.store.claim(ref(), B, LUA) == Refused("over")
    assert box.store.pause(RUN) == "replaced"
    assert box.store.finish(RUN, 1, "cancelled", "by a test") == "replaced"
    assert box.store.heads([KEY, "R-9:1"]) == [None, None]
    # A short hash refuses a late start.
    assert box.client.keys(f"{STATE}r:*") == [f"{STATE}r:{KEY}".encode()]
    assert box.client.ttl(f"{STATE}r:{KEY}") > 0


def test_the_end_of_a_removed_generation_stays_what_it_is(box: Box) -> None:
    begin(box)
    box.store.finish(RUN, 1, "failed", "by a test")
    box.store.freeze(KEY)
    box.store.freeze("R-9:1")
    assert box.store.heads([KEY, "R-9:1"]) == [None, None]
    assert box.store.finish(RUN, 1, "cancelled", "by a test") == "failed"


def test_a_server_that_tells_no_run_id_is_never_known_to_be_the_same() -> None:
    assert Standing("1", "1", "an epoch", "an installation").is_reconciled
    assert not Standing("", "", "an epoch", "an installation").is_reconciled
