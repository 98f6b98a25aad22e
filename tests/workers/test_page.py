"""The shared page: what a child shows is what its main process reads."""

import os

import pytest

from engine.store.base import BatchRef, Ref
from workers import execute
from workers.page import ADDR_BYTES, HEADER, SLOT, SLOTS, Page, SlotWatch, claim_mark

CHAIN = Ref("R-" + "a" * 32, 3, "0.k12.345.k3.17")
BATCH = BatchRef("R-" + "b" * 32, 1, "0.k5", 64, 128)


def test_an_empty_slot_shows_nothing() -> None:
    page = Page()
    SlotWatch(page, 4)
    assert page.read(4) is None
    assert page.read(5) is None


def test_a_shown_chain_is_read_back_whole() -> None:
    page = Page()
    watch = SlotWatch(page, 0)
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    shown = page.read(0)
    assert shown is not None
    assert shown.pid == os.getpid()
    assert shown.chain is not None
    assert (shown.chain.ref, shown.chain.seq) == (CHAIN, 17)
    assert shown.chain.nonce == "abcdef012345"
    assert round(shown.chain.deadline - shown.chain.started, 3) == 2.5
    assert shown.batch is None


def test_an_address_is_shown_whole_or_not_at_all() -> None:
    page = Page()
    watch = SlotWatch(page, 0)
    deep = "0" + ".k0.0" * 127
    longest = deep.ljust(ADDR_BYTES, "1")
    for addr in (deep, longest):
        watch.chain(Ref("R-1", 1, addr), 1, "abcdef012345", 2500)
        watch.batch(BatchRef("R-1", 1, addr, 0, 5), "abcdef012345")
        shown = page.read(0)
        assert shown is not None
        assert shown.chain is not None
        assert shown.batch is not None
        assert shown.chain.ref.addr == shown.batch.ref.chord == addr
    watch.chain(Ref("R-1", 1, longest + "2"), 1, "abcdef012345", 2500)
    watch.batch(BatchRef("R-1", 1, longest + "2", 0, 5), "abcdef012345")
    watch.lane(3, 10)
    assert page.read(0) is None


def test_a_lane_of_a_batch_has_a_deadline_of_its_own() -> None:
    page = Page()
    watch = SlotWatch(page, 0)
    watch.batch(BATCH, "abcdef012345")
    watch.lane(70, 1000)
    shown = page.read(0)
    assert shown is not None
    assert shown.batch is not None
    assert (shown.batch.ref, shown.batch.lane) == (BATCH, 70)
    assert round(shown.batch.deadline - shown.batch.lane_started, 3) == 1.0
    watch.chain(CHAIN, 1, "abcdef012345", 10)
    watch.no_chain()
    shown = page.read(0)
    assert shown is not None
    assert shown.chain is None
    assert shown.batch is not None


def test_clear_empties_the_slot() -> None:
    page = Page()
    watch = SlotWatch(page, 0)
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    watch.clear()
    assert page.read(0) is None


def test_a_slot_that_is_being_written_is_not_believed() -> None:
    page = Page()
    watch = SlotWatch(page, 0)
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    page.map[HEADER] |= 1
    assert page.read(0) is None


def test_cancelling_meets_only_the_claim_it_names() -> None:
    page = Page()
    watch = SlotWatch(page, 2)
    assert not watch.cancelled()
    watch.chain(CHAIN, 17, "abcdef012345", 2500)
    page.cancel(2, claim_mark("abcdef012345", CHAIN.addr))
    assert watch.cancelled()
    watch.chain(CHAIN, 18, "fedcba543210", 2500)
    assert not watch.cancelled()


def test_a_parent_is_not_cancelled_with_the_lane_whose_claim_it_goes_on_with() -> None:
    page, nonce = Page(), "abcdef012345"
    watch = SlotWatch(page, 2)
    chord = BatchRef(CHAIN.run, 1, "0.k3", 0, 16)
    watch.batch(chord, nonce)
    watch.chain(Ref(CHAIN.run, 1, "0.k3.7"), 2, nonce, 2500)
    shown = page.read(2)
    assert shown is not None
    assert shown.chain is not None
    assert shown.batch is not None
    for claim in (shown.chain, shown.batch):
        page.cancel(2, claim.mark)
        assert watch.cancelled()
    # Meanwhile the lane has decided its chord: the batch is over, the parent goes on.
    watch.batch(None)
    watch.chain(Ref(CHAIN.run, 1, "0"), 4, nonce, 2500)
    for claim in (shown.chain, shown.batch):
        page.cancel(2, claim.mark)
        assert not watch.cancelled()


def test_draining_reaches_every_slot() -> None:
    page = Page()
    watches = [SlotWatch(page, n) for n in range(3)]
    page.drain()
    assert all(watch.draining() for watch in watches)
    assert len(page.map) >= HEADER + 64 * SLOT


def test_more_children_than_slots_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "_pages", [Page()])
    monkeypatch.setattr(execute, "_threads", iter([SLOTS - 1, SLOTS]))
    assert isinstance(execute._watch(), SlotWatch)
    with pytest.raises(RuntimeError, match="start a second worker instead"):
        execute._watch()


def test_what_a_dead_child_showed_is_not_read_and_its_successors_is() -> None:
    page = Page()
    SlotWatch(page, 0).chain(CHAIN, 17, "abcdef012345", 2500)
    dead = page.read(0)
    assert dead is not None
    # It starts between the look at the dead one and what comes of it.
    successor = SlotWatch(page, 0)
    successor.chain(CHAIN, 17, "abcdef012345", 2500)
    page.forget(dead)
    again = page.read(0)
    assert again is not None
    assert again.chain is not None
    page.forget(again)
    assert page.read(0) is None
    successor.no_chain()
    successor.chain(CHAIN, 18, "abcdef012345", 2500)
    assert page.read(0) is not None


def test_a_successor_of_a_child_that_was_killed_while_it_wrote_is_read() -> None:
    page = Page()
    SlotWatch(page, 0).chain(CHAIN, 17, "abcdef012345", 2500)
    word = int.from_bytes(page.map[HEADER : HEADER + 8], "little")
    page.map[HEADER : HEADER + 8] = (word + 1).to_bytes(8, "little")
    assert page.read(0) is None
    SlotWatch(page, 0).chain(CHAIN, 18, "abcdef012345", 2500)
    shown = page.read(0)
    assert shown is not None
    assert shown.chain is not None
    assert shown.chain.seq == 18
