"""A Redis without room: live runs end, which makes room; new ones wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_boxes import Box, audit
from store_calls import (
    CHORD,
    ENTRY,
    KEY,
    LUA,
    RUN,
    A,
    B,
    batch,
    begin,
    check,
    claim,
    claim_batch,
    move,
    opened,
    opening,
    ref,
    results,
    settling,
    spec,
    starting,
)

from engine.store.base import Joined, Lease, Moved, StoreFull
from engine.store.redis import SCRIPTS
from engine.store.script_texts import ADDS_WORK


@pytest.fixture
def full(box: Box) -> Iterator[Box]:
    """A store whose server a test can fill; it has room again afterwards."""
    yield box
    box.make_room()


def test_what_adds_to_the_work_is_refused_and_gives_the_reason(full: Box) -> None:
    begin(full)
    written = len(full.store.journal("0", 100))
    full.fill()
    text = r"Redis is full \(maxmemory\): .* or give Redis more memory"
    for call in (
        lambda: full.store.start(starting(run="R-2")),
        lambda: full.store.open_chord(opening()),
        lambda: full.store.upload_items(KEY, CHORD, A, [b"[1]"]),
        lambda: full.store.emit(ref(), 0, A, 1, ENTRY),
    ):
        with pytest.raises(StoreFull, match=text):
            call()
    full.store.drop_upload(KEY, CHORD, A)
    assert full.store.head("R-2") is None
    assert len(full.store.journal("0", 100)) == written
    check(full)
    full.make_room()
    assert full.store.open_chord(opening()) == Moved()
    check(full)


def test_nothing_but_new_work_is_refused(full: Box) -> None:
    texts = SCRIPTS.text
    assert set(texts) > ADDS_WORK
    may = {name for name, text in texts.items() if b"allow-oom" in text.split(b"\n")[0]}
    assert may == set(texts) - ADDS_WORK


def test_a_run_under_way_ends_and_makes_room(full: Box) -> None:
    store = full.store
    opened(full, spec(size=6, batch=2))
    claim_batch(full, batch(0, 2))
    full.fill()
    assert store.elect("steward", 1_000)[0] == 1
    assert store.commit_batch(results(batch(0, 2), 0, 1)) == Moved()
    assert store.release_batch(batch(0, 2), B, 1) == Moved()
    claim_batch(full, batch(1, 2))
    assert store.renew([Lease(KEY, f"{CHORD}:1-2", B)]) == ["k"]
    # Its worker dies, and two others take lanes that come singly.
    full.pass_time(11_000)
    assert store.expire(3) == 1
    claim(full, f"{CHORD}.1", B)
    store.discard(ref(f"{CHORD}.1"), b'{"e":[["discarded"]]}')
    assert store.signal(ref(f"{CHORD}.1"), 0, B, b'{"n":1}') == "ok"
    claim(full, f"{CHORD}.1", B, "swarm.engine")
    assert store.settle(settling(1, B, had_signal=True)) == Moved()
    for lo in (2, 4):
        claim_batch(full, batch(lo, lo + 2))
        last = store.commit_batch(results(batch(lo, lo + 2), lo, 2))
    assert isinstance(last, Joined)
    waits = move("w", seq=2, by=B, offset=8, delay_ms=500, consumed=CHORD)
    assert store.commit(waits) == Moved()
    full.pass_time(1_000)
    assert store.fire().moved == 1
    assert store.pause(RUN) == "ok"
    assert store.resume(RUN) == "ok"
    audit(full, RUN)
    claim(full, "0", A)
    assert store.commit(move("d", seq=3, offset=8)) == Moved()
    check(full)
    newest = store.journal("0", 1_000)[-1].id
    store.trim(newest)
    assert (store.journal("0", 10), store.archived()) == ([], newest)
    store.remove_all([(KEY, store.head(RUN).number)])  # type: ignore[union-attr]
    assert store.head(RUN) is None
    assert store.finish("R-3", 1, "cancelled", "by a test") == "ok"


def test_a_message_lost_by_a_full_server_is_sent_again(full: Box) -> None:
    full.store.start(starting())
    full.fill()
    assert full.pop(LUA) is not None
    full.pass_time(6_000)
    assert full.store.repeat(5_000) == 1
    taken = full.store.claim_next([LUA], A, 60_000)
    assert taken is not None
    assert taken[0] == ref()
