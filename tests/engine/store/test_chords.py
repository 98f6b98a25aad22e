"""Chords whose lanes are chains of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_boxes import Box
from store_calls import (
    CHORD,
    ENGINE,
    ENTRY,
    KEY,
    LUA,
    RUN,
    STEP,
    A,
    B,
    C,
    D,
    begin,
    check,
    claim,
    move,
    opened,
    opening,
    ref,
    settling,
    spec,
    twice,
)

from engine.store.base import Joined, Lease, Moved, Refused
from engine.store.redis import RedisStore


def end(box: Box, lane: int, by: str = B) -> Moved | Joined | Refused:
    """Claim a lane and settle it."""
    claim(box, f"{CHORD}.{lane}", by)
    answer = twice(box, lambda: box.store.settle(settling(lane, by)))
    check(box)
    return answer


def test_opening_dispatches_the_first_window(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=5, window=2))
    assert [m.addr for m in box.messages(LUA)] == ["0.k1.0", "0.k1.1"]
    assert store.chord(KEY, CHORD) == spec(size=5, window=2)
    assert store.decided(KEY, CHORD) is None
    assert store.items(KEY, CHORD, 0) == b"[1,2,3]"
    assert store.items(KEY, CHORD, 1) == b"[]"
    record = store.record(KEY, "0")
    assert record is not None
    assert (record.state, record.seq, record.last) == ("j", 1, A)
    assert store.log(KEY, "0", record.loglen) == b"[]\nopen\n"


def test_every_settled_lane_sends_the_next(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=4, window=2))
    assert end(box, 0) == Moved()
    assert [m.addr for m in box.messages(LUA)] == ["0.k1.1", "0.k1.2"]


def test_items_may_be_uploaded_before_opening(box: Box, store: RedisStore) -> None:
    pages = [b"[%d]" % n for n in range(40)]
    store.upload_items(KEY, CHORD, C, [b"[99]"])
    for _ in range(2):
        store.upload_items(KEY, CHORD, A, pages)
    opened(box, pages=[])
    assert [store.items(KEY, CHORD, n) for n in range(41)] == [*pages, b"[]"]


def test_what_was_uploaded_and_is_not_opened_can_be_dropped(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.upload_items(KEY, CHORD, A, [b"[1]", b"[2]"])
    store.upload_items(KEY, CHORD, C, [b"[7]"])
    for _ in range(2):
        store.drop_upload(KEY, CHORD, A)
    assert store.items(KEY, f"{CHORD}:{A}", 0) == b"[]"
    assert store.items(KEY, f"{CHORD}:{C}", 0) == b"[7]"
    store.upload_items(KEY, CHORD, A, [b"[3]"])
    assert store.open_chord(opening(pages=[])) == Moved()
    assert store.items(KEY, CHORD, 0) == b"[3]"


def test_another_workers_late_upload_changes_no_open_chord(
    box: Box, store: RedisStore
) -> None:
    store.upload_items(KEY, CHORD, A, [b"[1]", b"[2]"])
    opened(box, pages=[])
    store.upload_items(KEY, CHORD, C, [b"[7]", b"[8]"])
    assert store.items(KEY, CHORD, 0) == b"[1]"


def test_a_late_opening_is_stale(box: Box, store: RedisStore) -> None:
    opened(box)
    assert store.open_chord(opening(by=C)) == Refused("stale")
    assert store.open_chord(opening(seq=1)) == Refused("stale")


def test_a_lane_is_claimed_with_the_constants_of_its_chord(
    box: Box, store: RedisStore
) -> None:
    opened(box)
    got = claim(box, "0.k1.2", B)
    assert got.chord == spec()
    assert (got.record.place, got.record.frames) == ("/children/1/lane[2]", b"c")
    assert (got.record.tries, got.record.seq, got.log) == (0, 0, b"")
    check(box)
    assert store.claim(ref("0.k1.4"), C, LUA) == Refused("gone")


def test_a_lane_moves_like_any_chain(box: Box, store: RedisStore) -> None:
    opened(box)
    lane = ref("0.k1.1")
    claim(box, lane.addr, B)
    go = move("p", ref=lane, by=B, offset=0, edits=b"one\n")
    assert twice(box, lambda: store.commit(go)) == Moved()
    check(box)
    assert claim(box, lane.addr, C).log == b"one\n"
    last = replace(settling(1, C), seq=1, offset=4, edits=b"two\n")
    assert twice(box, lambda: store.settle(last)) == Moved()
    assert store.results(KEY, CHORD, 0, 4) == {1: (b"one\ntwo\n", None)}
    assert store.record(KEY, lane.addr) is None
    assert store.claim(lane, C, LUA) == Refused("over")


def test_the_last_lane_gets_the_join(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=2))
    assert end(box, 1) == Moved()
    answer = end(box, 0, C)
    assert isinstance(answer, Joined)
    assert (answer.parent, answer.record.owner, answer.record.seq) == ("0", C, 2)
    assert (answer.record.state, answer.record.frames) == ("r", b"j[1]")
    assert answer.record == store.record(KEY, "0")
    assert store.decided(KEY, CHORD) == "all"
    lanes = store.results(KEY, CHORD, 0, 9)
    assert lanes == {0: (b"r0\n", None), 1: (b"r1\n", None)}
    assert store.results(KEY, CHORD, 1, 2) == {1: (b"r1\n", None)}
    joined = move("c", seq=2, by=C, offset=8, consumed=CHORD)
    twice(box, lambda: store.commit(joined))
    check(box)
    assert store.decided(KEY, CHORD) is None
    assert store.chord(KEY, CHORD) == spec(size=2)
    assert store.claim(ref("0.k1.0"), D, LUA) == Refused("over")


def test_a_join_whose_owner_dies_is_claimed_again(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=1))
    assert isinstance(end(box, 0), Joined)
    box.pass_time(11_000)
    assert store.expire(0) == 1
    check(box)
    got = claim(box, "0", C, ENGINE)
    assert (got.record.frames, got.record.tries) == (b"j[1]", 0)
    assert store.settle(settling(0)) == Moved()


@pytest.mark.parametrize("mode", ["any", "race", "all"])
def test_a_deciding_lane_closes_the_chord(
    box: Box, store: RedisStore, mode: str
) -> None:
    opened(box, spec(size=3, mode=mode))
    claim(box, "0.k1.0", B)
    claim(box, "0.k1.1", C)
    wins = settling(1, C, decides=True, failure=b'"no"' if mode == "all" else None)
    answer = twice(box, lambda: store.settle(wins))
    assert isinstance(answer, Joined)
    assert store.decided(KEY, CHORD) == "1"
    check(box)
    assert twice(box, lambda: store.settle(settling(0))) == Refused("closed")
    assert store.commit(move("c", ref=ref("0.k1.0"), by=B)) == Refused("closed")
    assert box.take(LUA, "0.k1.2") is not None
    assert twice(box, lambda: store.claim(ref("0.k1.2"), D, LUA)) == Refused("closed")
    assert store.signal(ref("0.k1.0"), 0, B, b"{}") == "over"
    store.commit(move("c", seq=2, by=C, offset=8, consumed=CHORD))
    assert store.decided(KEY, CHORD) == "1"
    assert store.claim(ref("0.k1.2"), D, LUA) == Refused("closed")
    check(box)


def test_any_is_decided_by_the_last_failure(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=2, mode="any"))
    claim(box, "0.k1.0", B)
    claim(box, "0.k1.1", C)
    assert store.settle(settling(0, failure=b'"a"')) == Moved()
    assert isinstance(store.settle(settling(1, C, failure=b'"b"')), Joined)
    assert store.decided(KEY, CHORD) == "1"
    lanes = store.results(KEY, CHORD, 0, 2)
    assert lanes == {0: (None, b'"a"'), 1: (None, b'"b"')}


def test_a_late_settler_is_refused(box: Box, store: RedisStore) -> None:
    opened(box)
    claim(box, "0.k1.0", B)
    box.pass_time(11_000)
    store.expire(3)
    assert twice(box, lambda: store.settle(settling(0))) == Refused("stale")
    claim(box, "0.k1.0", C)
    assert store.settle(settling(0)) == Refused("stale")
    assert store.settle(settling(0, C, offset=1)) == Refused("stale")
    assert store.settle(settling(0, C)) == Moved()
    assert store.settle(settling(0)) == Refused("gone")
    check(box)


def nested(box: Box) -> list[str]:
    """Open chords inside each other; return their lanes with nonces, outermost first."""
    store = box.store
    opened(box, spec(size=2, mode="race"))
    parents = ["0.k1.0", "0.k1.0.k1.1"]
    for parent in parents:
        claim(box, parent, B)
        chord = f"{parent}.k1"
        inner = opening(spec(parent=parent, parent_len=5, size=2), by=B)
        twice(
            box,
            lambda chord=chord, inner=inner, parent=parent: store.open_chord(
                replace(inner, ref=ref(parent), offset=0, chord=chord)
            ),
        )
        check(box)
    return [*parents, "0.k1.0.k1.1.k1.0"]


def test_a_closed_chord_stops_every_depth_inside(box: Box, store: RedisStore) -> None:
    deep = nested(box)[-1]
    claim(box, deep, C)
    claim(box, "0.k1.1", D)
    leases = [Lease(KEY, deep, C), Lease(KEY, "0.k1.1", D)]
    assert store.renew(leases) == ["k", "k"]
    assert isinstance(store.settle(settling(1, D, decides=True)), Joined)
    check(box)
    assert store.renew(leases) == ["c", "c"]
    assert store.claim(ref("0.k1.0.k1.1.k1.1"), D, LUA) == Refused("closed")
    assert store.claim(ref("0.k1.0.k1.0"), D, LUA) == Refused("closed")
    inner = replace(settling(0, C), ref=ref(deep))
    assert twice(box, lambda: store.settle(inner)) == Refused("closed")
    assert store.commit(move("c", ref=ref(deep), by=C, offset=0)) == Refused("closed")
    box.pass_time(30_000)
    assert store.expire(3) == 1
    while box.pop(LUA):
        pass
    assert store.repeat(5_000) == 0
    check(box)
    view = box.view(RUN)
    assert view is not None
    assert (view.leases, set(view.dispatched)) == ({}, {("0", ENGINE)})


def test_an_inner_chord_joins_its_lane(box: Box, store: RedisStore) -> None:
    deep = nested(box)[-1]
    claim(box, deep, C)
    assert store.settle(replace(settling(0, C), ref=ref(deep))) == Moved()
    other = deep[:-1] + "1"
    claim(box, other, C)
    answer = twice(box, lambda: store.settle(replace(settling(1, C), ref=ref(other))))
    assert isinstance(answer, Joined)
    assert answer.parent == "0.k1.0.k1.1"
    check(box)
    done = replace(settling(1, C), ref=ref(answer.parent), seq=2, offset=5)
    assert twice(box, lambda: store.settle(done)) == Moved()
    check(box)


@pytest.mark.parametrize("paused", [False, True])
def test_a_lane_that_ends_with_a_join_leaves_nothing_of_that_chord(
    box: Box, store: RedisStore, paused: bool
) -> None:
    opened(box, spec(size=2))
    claim(box, "0.k1.0", B)
    inner = opening(spec(parent="0.k1.0", size=1), by=B)
    inner = replace(inner, ref=ref("0.k1.0"), offset=0, chord="0.k1.0.k0")
    store.open_chord(inner)
    claim(box, "0.k1.0.k0.0", C)
    lane = replace(settling(0, C), ref=ref("0.k1.0.k0.0"))
    assert isinstance(store.settle(lane), Joined)
    if paused:
        store.pause(RUN)
    ends = replace(settling(0, C), seq=2, offset=5, consumed="0.k1.0.k0")
    assert twice(box, lambda: store.settle(ends)) == Moved(held=paused)
    check(box)
    assert store.decided(KEY, "0.k1.0.k0") is None
    assert not {name for name in box.fields(RUN) if ".k0" in name}
    # What the lane's edits may refer to stays until the run goes.
    assert store.chord(KEY, "0.k1.0.k0") == inner.spec
    assert store.results(KEY, "0.k1.0.k0", 0, 1) == {0: (b"r0\n", None)}


def test_a_join_may_open_the_next_chord(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=1))
    assert isinstance(end(box, 0), Joined)
    again = replace(
        opening(spec(parent_len=13), seq=2, by=B),
        chord="0.k3",
        offset=8,
        consumed=CHORD,
    )
    assert twice(box, lambda: store.open_chord(again)) == Moved()
    check(box)
    assert store.decided(KEY, CHORD) is None
    claim(box, "0.k3.0", C)


def test_a_signalled_lane_settles_and_its_signal_goes(
    box: Box, store: RedisStore
) -> None:
    opened(box)
    lane = ref("0.k1.0")
    claim(box, lane.addr, B)
    waits = move("w", ref=lane, by=B, offset=0, pending=STEP, entry=ENTRY)
    store.commit(waits)
    assert store.signal(lane, 1, "", b'{"ok":1}') == "ok"
    assert claim(box, lane.addr, C, ENGINE).signal == b'{"ok":1}'
    last = replace(settling(0, C), seq=1, had_signal=True)
    assert twice(box, lambda: store.settle(last)) == Moved()
    view = box.view(RUN)
    assert view is not None
    assert view.signals == {}
    check(box)
