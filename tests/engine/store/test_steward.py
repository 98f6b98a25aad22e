"""Leases, timers, lost messages; pause, resume and finish."""

from __future__ import annotations

from dataclasses import replace

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
    batch,
    begin,
    check,
    claim,
    claim_batch,
    move,
    opened,
    opening,
    ref,
    settling,
    spec,
    starting,
    twice,
)

from engine.store.base import Joined, Lease, Moved, Refused
from engine.store.redis import RedisStore


def last_entry(store: RedisStore) -> bytes:
    return store.journal("0", 1000)[-1].data


def test_a_lease_is_kept_by_its_owner(box: Box, store: RedisStore) -> None:
    begin(box)
    assert store.renew([]) == []
    renewals = [Lease(KEY, "0", A), Lease(KEY, "0", B), Lease("R-9:1", "0", A)]
    assert store.renew(renewals) == ["k", "s", "c"]
    for _ in range(3):
        box.pass_time(8_000)
        assert store.expire(3) == 0
        assert store.renew(renewals[:1]) == ["k"]
    box.pass_time(11_000)
    assert store.expire(3, box.clock.now - 1) == 0
    assert store.expire(3, box.clock.now) == 1
    assert store.renew(renewals[:1]) == ["s"]
    check(box)


def test_a_lease_ends_soon_after_the_deadline(box: Box, store: RedisStore) -> None:
    begin(box, pending=replace(starting().pending, timeout_ms=12_000))
    for ms in (9_000, 4_000):
        box.pass_time(ms)
        assert store.renew([Lease(KEY, "0", A)]) == ["k"]
        assert store.expire(3) == 0
    box.pass_time(3_900)
    assert store.expire(3) == 0
    box.pass_time(200)
    assert store.expire(3) == 1


def test_a_claim_past_its_deadline_and_grace_is_nobodys(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    for ms in (50_000, 14_000):
        # No steward was there to take it back.
        box.pass_time(ms)
        assert store.renew([Lease(KEY, "0", A)]) == ["k"]
    box.pass_time(1_500)
    assert store.renew([Lease(KEY, "0", A)]) == ["s"]
    assert store.expire(3) == 1
    check(box)


def test_a_batch_has_no_deadline_and_is_its_owners_until_it_is_taken_back(
    box: Box, store: RedisStore
) -> None:
    opened(box, spec(size=2, batch=2))
    claim_batch(box, batch(0, 2))
    box.pass_time(3_600_000)
    assert store.renew([Lease(KEY, f"{CHORD}:0-2", B)]) == ["k"]
    assert store.expire(3) == 0
    check(box)


@pytest.mark.parametrize("timeout_ms", [1_000, 12_000])
def test_a_keeper_has_time_to_report_an_attempt_that_took_too_long(
    box: Box, store: RedisStore, timeout_ms: int
) -> None:
    begin(box, pending=replace(starting().pending, timeout_ms=timeout_ms))
    if timeout_ms > 5_000:
        box.pass_time(6_000)
        assert store.renew([Lease(KEY, "0", A)]) == ["k"]
        timeout_ms -= 6_000
    box.pass_time(timeout_ms + 2_000)
    assert store.expire(3) == 0
    assert store.signal(ref(), 0, A, b"{}") == "ok"
    check(box)
    assert claim(box, "0", B, ENGINE).signal == b"{}"


@pytest.mark.parametrize("frames", [b"c[3]", b"j[3,0]", b"e[]"])
def test_a_chain_that_kills_every_worker_gets_a_signal_in_any_phase(
    box: Box, store: RedisStore, frames: bytes
) -> None:
    pending = replace(starting().pending, frames=frames, queue=ENGINE)
    store.start(starting(pending=pending))
    for times in (1, 2, 3):
        assert claim(box, "0", A, ENGINE).signal is None
        box.pass_time(11_000)
        assert store.expire(2) == 1, times
        check(box)
    for _ in range(2):
        assert claim(box, "0", B, ENGINE).signal == b'{"lost":3}'
        box.pass_time(11_000)
        assert store.expire(2) == 1
        check(box)
    assert store.record(KEY, "0").lost == 5  # type: ignore[union-attr]


def test_a_signal_that_kills_every_worker_gives_way(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.signal(ref(), 0, A, b"{}")
    for signal in (b"{}", b"{}", b'{"lost":2}'):
        assert claim(box, "0", B, ENGINE).signal == signal
        box.pass_time(11_000)
        assert store.expire(1) == 1
        check(box)
    assert store.signal(ref(), 0, A, b"{}") == "decided"


def test_a_lane_that_kills_every_worker_gets_a_signal(
    box: Box, store: RedisStore
) -> None:
    opened(box, spec(size=2))
    for _ in range(2):
        claim(box, "0.k1.0", B)
        box.pass_time(11_000)
        assert store.expire(1) == 1
        check(box)
    got = claim(box, "0.k1.0", C, ENGINE)
    assert (got.signal, got.record.frames) == (b'{"lost":2}', b"c")


def test_the_end_of_a_run_waits_for_the_end_of_a_pause(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.pause(RUN)
    last = move("d", ending=b'{"e":[["run_done"]]}')
    assert twice(box, lambda: store.commit(last)) == Moved(held=True)
    check(box)
    assert last_entry(store) == last.entry
    store.resume(RUN)
    claim(box, "0", B, ENGINE)
    again = replace(last, seq=1, nonce=B)
    assert twice(box, lambda: store.commit(again)) == Moved()
    check(box)
    assert [e.data for e in store.journal("0", 100)][-1:] == [last.ending]


def test_items_uploaded_for_a_chord_that_never_opened_are_removed(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.upload_items(KEY, "0.k9", "a" * 12, [b"[1]"] * 40)
    assert store.items(KEY, "0.k9:" + "a" * 12, 39) == b"[1]"
    store.finish(RUN, 1, "cancelled", "no")
    store.remove(KEY)
    assert store.items(KEY, "0.k9", 0) == b"[]"
    # All that stays says for an hour that the run has been.
    left = [key.decode() for key in box.client.keys(f"*{RUN}*")]
    assert sorted(left) == [f"swarm:s:p:{RUN}", f"swarm:s:r:{KEY}"]
    assert all(0 < box.client.ttl(key) <= 3600 for key in left)


def test_losing_a_worker_is_no_try_but_is_capped(box: Box, store: RedisStore) -> None:
    begin(box)
    for times in (1, 2):
        box.pass_time(11_000)
        assert store.expire(2) == 1
        assert store.expire(2) == 0
        check(box)
        # Attempts have consecutive numbers, so that none is written over another.
        want = b'{"a":"0","s":0,"e":[["lost","/children/0",%d,%d]]}' % (times, times)
        assert last_entry(store) == want
        got = claim(box, "0", B)
        assert (got.record.tries, got.record.lost) == (1, times)
    box.pass_time(11_000)
    assert store.expire(2) == 1
    check(box)
    got = claim(box, "0", C, ENGINE)
    assert got.signal == b'{"lost":3}'
    box.pass_time(11_000)
    assert store.expire(2) == 1
    check(box)
    assert claim(box, "0", B, ENGINE).signal == b'{"lost":3}'
    store.commit(move("c", by=B, had_signal=True))
    assert store.record(KEY, "0").lost == 0  # type: ignore[union-attr]


def test_a_timer_of_a_chain_that_has_moved_does_nothing(
    box: Box, store: RedisStore
) -> None:
    opened(box)
    lane = ref("0.k1.0")
    claim(box, lane.addr, B)
    store.commit(move("w", ref=lane, by=B, offset=0, delay_ms=5_000))
    claim(box, "0.k1.1", C)
    assert isinstance(store.settle(settling(1, C, decides=True)), Joined)
    box.pass_time(6_000)
    assert store.fire().moved == 0
    check(box)


def test_a_run_that_takes_too_long_fails(box: Box, store: RedisStore) -> None:
    begin(box, deadline_ms=60_000)
    box.pass_time(59_000)
    store.renew([Lease(KEY, "0", A)])
    assert store.fire().moved == 0
    box.pass_time(3_000)
    assert store.fire().moved == 1
    check(box)
    head = store.head(RUN)
    assert head is not None
    assert head.status == "failed"
    text = b'["run_failed","RunDeadline","run deadline exceeded after 62 s"]'
    assert text in last_entry(store)
    assert store.commit(move("c")) == Refused("over")
    assert store.renew([Lease(KEY, "0", A)]) == ["c"]


def test_deadlines_continue_during_a_pause(box: Box, store: RedisStore) -> None:
    begin(box, deadline_ms=60_000)
    store.pause(RUN)
    box.pass_time(61_000)
    assert store.fire().moved == 1
    assert store.resume(RUN) == "failed"
    assert store.pause(RUN) == "failed"
    check(box)


def test_a_lost_message_is_sent_again_after_doubling_waits(
    box: Box, store: RedisStore
) -> None:
    store.start(starting())
    assert store.repeat(5_000) == 0
    box.pass_time(6_000)
    assert store.repeat(5_000) == 0, "the message is still there"
    assert box.pop(LUA) is not None
    assert store.repeat(5_000) == 1
    for wait in (10_000, 20_000, 40_000):
        assert box.pop(LUA) is not None
        box.pass_time(wait - 2_000)
        assert store.repeat(5_000) == 0
        box.pass_time(3_000)
        assert store.repeat(5_000) == 1
        check(box)
    assert claim(box, "0", A).record.tries == 1
    box.pass_time(200_000)
    assert store.repeat(5_000) == 0


def test_a_message_behind_the_consuming_end_is_not_lost(
    box: Box, store: RedisStore
) -> None:
    store.start(starting())
    box.pass_time(1_000)
    store.start(starting(run="R-2"))
    box.pass_time(6_000)
    assert box.take(LUA, "0") is not None
    assert store.repeat(5_000) == 1
    assert [m.run for m in box.messages(LUA)] == ["R-2", RUN]
    check(box)
    check(box, "R-2")


def test_a_ticket_without_a_waiter_is_dropped(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=3, mode="race"))
    claim(box, "0.k1.0", B)
    store.settle(settling(0, B, decides=True))
    while box.pop(LUA):
        pass
    box.pass_time(6_000)
    assert store.repeat(5_000) == 0
    view = box.view(RUN)
    assert view is not None
    assert (view.dispatched, view.again) == ({}, {})


def test_lost_lanes_and_signalled_chains_are_sent_again(
    box: Box, store: RedisStore
) -> None:
    opened(box, spec(size=2))
    claim(box, "0.k1.0", B)
    store.signal(ref("0.k1.0"), 0, B, b"{}")
    for queue in (LUA, ENGINE):
        while box.pop(queue):
            pass
    box.pass_time(6_000)
    assert store.repeat(5_000) == 2
    check(box)
    claim(box, "0.k1.0", C, ENGINE)
    claim(box, "0.k1.1", C)


def test_a_pause_parks_what_is_claimed(box: Box, store: RedisStore) -> None:
    store.start(starting())
    assert twice(box, lambda: store.pause(RUN)) == "ok"
    box.pop(LUA)
    assert twice(box, lambda: store.claim(ref(), A, LUA)) == Refused("held")
    check(box)
    assert store.start(starting()) == "paused"
    assert twice(box, lambda: store.resume(RUN)) == "ok"
    check(box)
    assert claim(box, "0", A).record.tries == 1


@pytest.mark.parametrize("what", ["c", "p", "d"])
def test_a_pause_parks_what_is_committed(
    box: Box, store: RedisStore, what: str
) -> None:
    begin(box)
    store.pause(RUN)
    assert twice(box, lambda: store.commit(move(what))) == Moved(held=True)
    check(box)
    head = store.head(RUN)
    assert head is not None
    assert head.status == "paused"
    store.resume(RUN)
    check(box)
    # Only "go on" would make a worker run what it does not own any more.
    assert store.commit(move(what)) == Moved(held=what == "c")
    queue = ENGINE if what == "d" else LUA
    got = claim(box, "0", B, queue)
    assert got.record.frames[:1] == (b"e" if what == "d" else b"s")


def test_a_pause_parks_what_a_timer_or_signal_wakes(
    box: Box, store: RedisStore
) -> None:
    opened(box)
    for lane, delay in ((0, 5_000), (1, 0)):
        claim(box, f"0.k1.{lane}", B)
        waits = move("w", ref=ref(f"0.k1.{lane}"), by=B, offset=0, delay_ms=delay)
        store.commit(waits)
    store.pause(RUN)
    assert twice(box, lambda: store.signal(ref("0.k1.1"), 1, "", b"{}")) == "ok"
    box.pass_time(6_000)
    assert store.fire().moved == 1
    check(box)
    view = box.view(RUN)
    assert view is not None
    assert view.held == {("0.k1.0", LUA), ("0.k1.1", ENGINE)}
    assert store.resume(RUN) == "ok"
    check(box)
    assert claim(box, "0.k1.0", C).record.tries == 1
    assert claim(box, "0.k1.1", C, ENGINE).signal == b"{}"


def test_a_signalled_chain_claimed_during_a_pause_stays_signalled(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.signal(ref(), 0, A, b"{}")
    store.pause(RUN)
    box.pop(ENGINE)
    assert twice(box, lambda: store.claim(ref(), B, ENGINE)) == Refused("held")
    check(box)
    store.resume(RUN)
    check(box)
    assert claim(box, "0", B, ENGINE).signal == b"{}"


def test_a_pause_parks_what_would_settle(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=1))
    lane = ref("0.k1.0")
    claim(box, lane.addr, B)
    store.commit(move("w", ref=lane, by=B, offset=0, edits=b"e\n"))
    store.signal(lane, 1, "", b"{}")
    claim(box, lane.addr, B, ENGINE)
    store.pause(RUN)
    last = replace(settling(0), seq=1, offset=2, had_signal=True)
    assert twice(box, lambda: store.settle(last)) == Moved(held=True)
    check(box)
    store.resume(RUN)
    check(box)
    assert store.settle(last) == Moved(held=True)
    got = claim(box, lane.addr, C, ENGINE)
    assert (got.signal, got.log, got.record.frames) == (None, b"e\nr0\n", b"e[]")
    assert store.settle(last) == Moved(held=True)
    end = replace(settling(0, C), seq=2, offset=5, edits=b"")
    assert isinstance(twice(box, lambda: store.settle(end)), Joined)
    assert store.results(KEY, CHORD, 0, 1) == {0: (b"e\nr0\n", None)}
    check(box)


def test_a_chord_opens_during_a_pause_and_its_claims_park(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.pause(RUN)
    assert twice(box, lambda: store.open_chord(opening(spec(size=2)))) == Moved()
    check(box)
    box.pop(LUA)
    assert twice(box, lambda: store.claim(ref("0.k1.0"), B, LUA)) == Refused("held")
    check(box)
    store.resume(RUN)
    check(box)
    claim(box, "0.k1.0", B)


def test_a_worker_lost_during_a_pause_leaves_its_chain_held(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.pause(RUN)
    box.pass_time(11_000)
    assert store.expire(3) == 1
    check(box)
    view = box.view(RUN)
    assert view is not None
    assert view.held == {("0", LUA)}
    store.resume(RUN)
    claim(box, "0", B)


def test_resume_dispatches_exactly_what_was_held(box: Box, store: RedisStore) -> None:
    opened(box, spec(size=250))
    store.pause(RUN)
    for _ in range(230):
        message = box.pop(LUA)
        assert message is not None
        assert store.claim(ref(message.addr), B, LUA) == Refused("held")
    view = box.view(RUN)
    assert view is not None
    assert len(view.held) == 230
    assert store.resume(RUN) == "ok"
    check(box)
    sent = sorted(m.addr for m in box.messages(LUA))
    assert sent == sorted(f"0.k1.{i}" for i in range(250))


def test_pause_and_resume_of_what_does_not_exist_are_refused(
    box: Box, store: RedisStore
) -> None:
    assert store.pause("R-9") == "gone"
    assert store.resume("R-9") == "gone"
    begin(box)
    assert store.resume(RUN) == "ok"
    store.finish(RUN, 1, "cancelled", "x")
    assert store.pause(RUN) == "cancelled"
    assert store.resume(RUN) == "cancelled"


def test_a_run_finished_before_its_start_never_starts(
    box: Box, store: RedisStore
) -> None:
    assert store.finish(RUN, 1, "cancelled", "no") == "ok"
    assert store.finish(RUN, 1, "cancelled", "no") == "ok"
    assert store.finish(RUN, 1, "failed", "no") == "cancelled"
    assert store.start(starting()) == "cancelled"
    assert box.messages(LUA) == []
    assert isinstance(store.claim(ref(), A, LUA), Refused)
    assert store.commit(move("c")) in (Refused("over"), Refused("stale"))


def test_a_finished_run_stops_everything(box: Box, store: RedisStore) -> None:
    opened(box)
    claim(box, "0.k1.0", B)
    why = 'said "stop"\nand \\ meant it'
    assert twice(box, lambda: store.finish(RUN, 1, "cancelled", why)) == "ok"
    want = rb'{"e":[["run_cancelled","said \"stop\" and \\ meant it"]]}'
    assert last_entry(store) == want
    assert store.renew([Lease(KEY, "0.k1.0", B)]) == ["c"]
    assert store.settle(settling(0)) == Refused("over")
    assert store.commit(move("c", ref=ref("0.k1.0"), by=B)) == Refused("over")
    box.pop(LUA)
    assert store.claim(ref("0.k1.1"), C, LUA) == Refused("over")
    assert store.signal(ref("0.k1.0"), 0, B, b"{}") == "over"
    box.pass_time(11_000)
    assert store.expire(3) == 0
    assert store.repeat(5_000) == 0
    view = box.view(RUN)
    assert view is not None
    assert (view.leases, view.again) == ({}, {})
    check(box)
