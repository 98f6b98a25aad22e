"""The claim table: the main process reads what a child has written."""

import os

import pytest

from engine.store.base import BatchRef, Ref
from workers.celery_worker import child_engine as child_engine
from workers.celery_worker.claim_table import (
    ADDR_BYTES,
    HEADER,
    SLOT,
    SLOTS,
    ClaimTable,
    SlotWatch,
    claim_mark,
)

CHAIN = Ref("R-" + "a" * 32, 3, "0.k12.345.k3.17")
BATCH = BatchRef("R-" + "b" * 32, 1, "0.k5", 64, 128)


def test_an_empty_slot_shows_nothing() -> None:
    table = ClaimTable()
    SlotWatch(table, 4)
    assert table.read(4) is None
    assert table.read(5) is None


def test_a_shown_chain_is_read_back_whole() -> None:
    table = ClaimTable()
    watch = SlotWatch(table, 0)
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    shown = table.read(0)
    assert shown is not None
    assert shown.pid == os.getpid()
    assert shown.chain is not None
    assert (shown.chain.ref, shown.chain.number) == (CHAIN, 17)
    assert shown.chain.nonce == "abcdef012345"
    assert round(shown.chain.deadline - shown.chain.started, 3) == 2.5
    assert shown.batch is None


def test_an_address_is_shown_whole_or_not_at_all() -> None:
    table = ClaimTable()
    watch = SlotWatch(table, 0)
    deep = "0" + ".k0.0" * 127
    longest = deep.ljust(ADDR_BYTES, "1")
    for addr in (deep, longest):
        watch.chain(Ref("R-1", 1, addr), 1, "abcdef012345", 2500)
        watch.batch(BatchRef("R-1", 1, addr, 0, 5), "abcdef012345")
        shown = table.read(0)
        assert shown is not None
        assert shown.chain is not None
        assert shown.batch is not None
        assert shown.chain.ref.addr == shown.batch.ref.chord == addr
    watch.chain(Ref("R-1", 1, longest + "2"), 1, "abcdef012345", 2500)
    watch.batch(BatchRef("R-1", 1, longest + "2", 0, 5), "abcdef012345")
    watch.lane(3, 10)
    assert table.read(0) is None


def test_a_lane_of_a_batch_has_a_deadline_of_its_own() -> None:
    table = ClaimTable()
    watch = SlotWatch(table, 0)
    watch.batch(BATCH, "abcdef012345")
    watch.lane(70, 1000)
    shown = table.read(0)
    assert shown is not None
    assert shown.batch is not None
    assert (shown.batch.ref, shown.batch.number) == (BATCH, 70)
    assert round(shown.batch.deadline - shown.batch.started, 3) == 1.0
    watch.chain(CHAIN, 1, "abcdef012345", 10)
    watch.no_chain()
    shown = table.read(0)
    assert shown is not None
    assert shown.chain is None
    assert shown.batch is not None


def test_clear_empties_the_slot() -> None:
    table = ClaimTable()
    watch = SlotWatch(table, 0)
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    watch.clear()
    assert table.read(0) is None


def test_a_slot_that_is_being_written_is_not_believed() -> None:
    table = ClaimTable()
    watch = SlotWatch(table, 0)
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    table.map[HEADER] |= 1
    assert table.read(0) is None


def test_cancelling_meets_only_the_claim_it_names() -> None:
    table = ClaimTable()
    watch = SlotWatch(table, 2)
    assert not watch.cancelled()
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    table.cancel(2, claim_mark("abcdef012345", CHAIN))
    assert watch.cancelled()
    watch.chain(CHAIN, 18, "fedcba543210", 2500)
    assert not watch.cancelled()


def test_a_parent_is_not_cancelled_with_the_lane_whose_claim_it_continues_with() -> (
    None
):
    table, nonce = ClaimTable(), "abcdef012345"
    watch = SlotWatch(table, 2)
    chord = BatchRef(CHAIN.run, 1, "0.k3", 0, 16)
    watch.batch(chord, nonce)
    watch.chain(Ref(CHAIN.run, 1, "0.k3.7"), 2, nonce, 2500)
    shown = table.read(2)
    assert shown is not None
    assert shown.chain is not None
    assert shown.batch is not None
    for claim in (shown.chain, shown.batch):
        table.cancel(2, claim.mark)
        assert watch.cancelled()
    # Meanwhile the lane has decided its chord: the batch is over, the parent continues.
    watch.batch(None)
    watch.chain(Ref(CHAIN.run, 1, "0"), 4, nonce, 2500)
    for claim in (shown.chain, shown.batch):
        table.cancel(2, claim.mark)
        assert not watch.cancelled()


def test_draining_reaches_every_slot() -> None:
    table = ClaimTable()
    watches = [SlotWatch(table, n) for n in range(3)]
    table.drain()
    assert all(watch.draining() for watch in watches)
    assert len(table.map) >= HEADER + 64 * SLOT


def test_more_children_than_slots_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_engine, "_tables", [ClaimTable()])
    monkeypatch.setattr(child_engine, "_threads", iter([SLOTS - 1, SLOTS]))
    assert isinstance(child_engine._watch(), SlotWatch)
    with pytest.raises(RuntimeError, match="start a second worker instead"):
        child_engine._watch()


def test_what_a_dead_child_showed_is_not_read_and_its_successors_is() -> None:
    table = ClaimTable()
    SlotWatch(table, 0).chain(CHAIN, 17, "abcdef012345", 2500)
    dead = table.read(0)
    assert dead is not None
    # It starts between the look at the dead one and what comes of it.
    successor = SlotWatch(table, 0)
    successor.chain(CHAIN, 17, "abcdef012345", 2500)
    table.forget(dead)
    again = table.read(0)
    assert again is not None
    assert again.chain is not None
    table.forget(again)
    assert table.read(0) is None
    successor.no_chain()
    successor.chain(CHAIN, 18, "abcdef012345", 2500)
    assert table.read(0) is not None


def test_a_successor_of_a_child_that_was_killed_while_it_wrote_is_read() -> None:
    table = ClaimTable()
    SlotWatch(table, 0).chain(CHAIN, 17, "abcdef012345", 2500)
    word = int.from_bytes(table.map[HEADER : HEADER + 8], "little")
    table.map[HEADER : HEADER + 8] = (word + 1).to_bytes(8, "little")
    assert table.read(0) is None
    SlotWatch(table, 0).chain(CHAIN, 18, "abcdef012345", 2500)
    shown = table.read(0)
    assert shown is not None
    assert shown.chain is not None
    assert shown.chain.number == 18
