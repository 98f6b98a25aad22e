"""Chains of a run: start, claim, commit, signal, and their fences."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from store_boxes import Box
from store_calls import (
    ENGINE,
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
    nonce,
    opening,
    ref,
    starting,
    twice,
)

from engine.store.base import Claimed, Moved, Refused
from engine.store.redis import RedisStore


def entries(store: RedisStore) -> list[bytes]:
    return [entry.data for entry in store.journal("0", 1000)]


def test_start_makes_a_run_that_waits_in_its_queue(box: Box, store: RedisStore) -> None:
    assert twice(box, lambda: store.start(starting())) == "ok"
    check(box)
    head = store.head(RUN)
    assert head is not None
    assert (head.status, head.gen, head.number) == ("running", 1, 1)
    assert store.base(KEY, "p" * 16) == b"program"
    assert store.base(KEY, "b" * 16) == b'{"a":1}'
    assert store.log(KEY, "0", 3) == b"[]\n"
    (message,) = box.messages(LUA)
    assert (message.run, message.gen, message.addr) == (RUN, 1, "0")
    assert message.ticket > 1_700_000_000_000_000


def test_start_answers_the_status_of_a_run_that_does_not_run(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.commit(move("d"))
    assert store.start(starting()) == "done"


def test_claim_hands_over_record_log_and_program(box: Box, store: RedisStore) -> None:
    got = begin(box)
    assert got.record.state == "r"
    assert got.record.owner == A
    assert got.record.tries == 1
    assert got.record.frames == b"s[1]"
    assert got.log == b"[]\n"
    assert got.signal is None
    assert got.program_id == "p" * 16
    assert got.chord is None
    assert got.record.deadline_ms == box.clock.now + 60_000
    want = b'{"a":"0","s":0,"w":"%s","e":[["started","/children/0",1]]}' % A.encode()
    assert entries(store)[-1] == want
    check(box)


def test_claim_of_what_is_unknown_is_gone(box: Box, store: RedisStore) -> None:
    assert store.claim(ref(), A, LUA) == Refused("gone")
    begin(box)
    assert store.claim(ref("0.k9.1"), B, LUA) == Refused("gone")
    assert store.claim(ref("0.k9"), B, LUA) == Refused("gone")


def test_claim_of_another_generation_is_stale_and_leaves_the_ticket(
    box: Box, store: RedisStore
) -> None:
    store.start(starting(gen=2))
    assert store.claim(ref(gen=1), A, LUA) == Refused("stale")
    check(box)
    assert isinstance(store.claim(ref(gen=2), A, LUA), Claimed)


@pytest.mark.parametrize(
    ("state", "answer"),
    [("r", "taken"), ("w", "taken"), ("j", "taken"), ("h", "held"), ("d", "over")],
)
def test_claim_of_a_chain_that_does_not_wait_for_one_is_refused(
    box: Box, store: RedisStore, state: str, answer: str
) -> None:
    begin(box)
    if state == "j":
        from_open(store)
    elif state == "h":
        store.pause(RUN)
        store.commit(move("p"))
    elif state != "r":
        store.commit(move(state))
    assert twice(box, lambda: store.claim(ref(), B, LUA)) == Refused(answer)  # type: ignore[arg-type]
    check(box)


def from_open(store: RedisStore) -> None:
    assert store.open_chord(opening()) == Moved()


def test_a_late_double_does_not_claim_a_later_step_of_another_queue(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.commit(move("p", pending=replace(STEP, queue="gpu")))
    assert store.claim(ref(), B, LUA) == Refused("taken")
    check(box)
    claim(box, "0", B, "gpu")


def test_going_on_keeps_the_claim_and_counts_a_try(box: Box, store: RedisStore) -> None:
    begin(box)
    answer = twice(box, lambda: store.commit(move("c")))
    assert isinstance(answer, Moved)
    assert answer.deadline_ms > box.clock.now
    record = store.record(KEY, "0")
    assert record is not None
    assert (record.seq, record.owner, record.state, record.tries) == (1, A, "r", 1)
    assert store.log(KEY, "0", record.loglen) == b"[]\nedit\n"
    check(box)


def test_dispatching_releases_the_claim_and_sends_a_message(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    assert twice(box, lambda: store.commit(move("p"))) == Moved()
    assert [m.addr for m in box.messages(LUA)] == ["0"]
    check(box)
    assert claim(box, "0", B).record.seq == 1
    # A resend after somebody else has claimed it still gets the same answer.
    assert store.commit(move("p")) == Moved()


def test_tries_and_losts_are_kept_only_when_given(box: Box, store: RedisStore) -> None:
    begin(box)
    store.commit(move("p", keep_tries=True))
    assert claim(box, "0", B).record.tries == 2
    store.commit(move("p", seq=1, by=B))
    assert claim(box, "0", C).record.tries == 1


def test_an_attempt_that_is_given_back_is_not_charged(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    box.pass_time(11_000)
    assert store.expire(3) == 1
    assert claim(box, "0", B).record.tries == 1
    store.commit(move("p", by=B, keep_tries=True))
    was = claim(box, "0", C).record
    assert (was.tries, was.lost) == (2, 1)
    back = move("p", seq=1, by=C, edits=b"", gives_back=True)
    assert twice(box, lambda: store.commit(back)) == Moved()
    check(box)
    again = claim(box, "0", D).record
    assert (again.tries, again.lost) == (2, 1)


def test_a_delay_dispatches_when_it_is_over(box: Box, store: RedisStore) -> None:
    begin(box)
    waits = move("w", keep_tries=True, delay_ms=5_000)
    assert twice(box, lambda: store.commit(waits)) == Moved()
    check(box)
    box.pass_time(4_000)
    assert store.fire().moved == 0
    box.pass_time(2_000)
    assert store.fire().moved == 1
    assert store.fire().moved == 0
    check(box)
    assert claim(box, "0", B).record.tries == 2


def test_the_last_transition_ends_the_run(box: Box, store: RedisStore) -> None:
    begin(box, deadline_ms=60_000)
    assert twice(box, lambda: store.commit(move("d"))) == Moved()
    head = store.head(RUN)
    assert head is not None
    assert head.status == "done"
    box.pass_time(61_000)
    assert store.fire().moved == 0
    assert store.finish(RUN, 1, "cancelled", "late") == "done"
    assert store.commit(move("d", seq=1)) == Refused("over")
    assert store.claim(ref(), B, LUA) == Refused("over")
    check(box)


def test_a_late_owner_is_stale(box: Box, store: RedisStore) -> None:
    begin(box)
    box.pass_time(11_000)
    assert store.expire(3) == 1
    assert twice(box, lambda: store.commit(move("c"))) == Refused("stale")
    claim(box, "0", B)
    assert store.commit(move("p")) == Refused("stale")
    assert store.commit(move("p", seq=1, by=B)) == Refused("stale")
    assert store.commit(move("p", ref=ref(gen=2), by=B)) == Refused("stale")
    assert store.commit(move("p", by=B, offset=4)) == Refused("stale")
    assert store.commit(move("p", by=B)) == Moved()
    check(box)


def test_a_transition_of_what_is_unknown_is_gone(box: Box, store: RedisStore) -> None:
    assert store.commit(move("p")) == Refused("gone")
    begin(box)
    assert store.commit(move("p", ref=ref("0.k1.1"))) == Refused("gone")


def test_edits_at_a_smaller_offset_roll_back(box: Box, store: RedisStore) -> None:
    begin(box)
    store.commit(move("c", edits=b"long edit\n"))
    store.commit(move("c", seq=1, offset=3, edits=b"new\n"))
    record = store.record(KEY, "0")
    assert record is not None
    assert store.log(KEY, "0", record.loglen) == b"[]\nnew\n"
    store.commit(move("p", seq=2, offset=0, edits=b""))
    assert claim(box, "0", B).log == b""


def test_a_fold_stores_a_new_base(box: Box, store: RedisStore) -> None:
    begin(box)
    fold = move("c", offset=0, edits=b"", base=("f" * 16, b'{"a":2}'))
    assert isinstance(twice(box, lambda: store.commit(fold)), Moved)
    record = store.record(KEY, "0")
    assert record is not None
    assert (record.base_id, record.loglen) == ("f" * 16, 0)
    assert store.base(KEY, "f" * 16) == b'{"a":2}'
    # Nobody reads the one before any more.
    assert store.base(KEY, "b" * 16) is None
    same = replace(fold, seq=1)
    assert isinstance(twice(box, lambda: store.commit(same)), Moved)
    assert store.base(KEY, "f" * 16) == b'{"a":2}'
    assert store.base(KEY, "p" * 16) == b"program"


def test_what_waits_without_an_entry_leaves_the_journal_alone(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    written = store.journal("0", 10)
    waits = move("w", entry=b"", delay_ms=500)
    assert twice(box, lambda: store.commit(waits)) == Moved()
    assert store.journal("0", 10) == written
    check(box)
    box.pass_time(600)
    assert store.fire().moved == 1
    assert claim(box, "0", B).record.seq == 1
    check(box)


def test_the_first_signal_wins(box: Box, store: RedisStore) -> None:
    begin(box)
    store.commit(move("w"))
    assert twice(box, lambda: store.signal(ref(), 1, "", b'{"ok":1}')) == "ok"
    check(box)
    assert store.signal(ref(), 1, "", b'{"ok":2}') == "decided"
    # Whoever put it waiting and never heard of it hears of it now.
    assert store.commit(move("w")) == Moved()
    got = claim(box, "0", B, ENGINE)
    assert got.signal == b'{"ok":1}'
    assert got.record.tries == 0
    assert store.signal(ref(), 1, "", b'{"ok":2}') == "decided"
    assert store.commit(move("p", seq=1, by=B, had_signal=True)) == Moved()
    assert store.signal(ref(), 1, "", b'{"ok":2}') == "over"
    assert claim(box, "0", C).signal is None
    check(box)


def test_a_signal_ends_a_retry_delay(box: Box, store: RedisStore) -> None:
    begin(box)
    store.commit(move("w", delay_ms=5_000))
    assert store.signal(ref(), 1, "", b"{}") == "ok"
    view = box.view(RUN)
    assert view is not None
    assert view.timers == {}
    check(box)
    box.pass_time(6_000)
    assert store.fire().moved == 0


def test_an_owner_signals_its_own_attempt_only(box: Box, store: RedisStore) -> None:
    begin(box)
    assert store.signal(ref(), 0, "", b'{"timeout":1}') == "over"
    assert store.signal(ref(), 0, B, b'{"timeout":1}') == "over"
    assert twice(box, lambda: store.signal(ref(), 0, A, b'{"timeout":1}')) == "ok"
    check(box)
    assert store.commit(move("c")) == Refused("stale")
    got = claim(box, "0", B, ENGINE)
    assert got.signal == b'{"timeout":1}'
    assert got.record.tries == 1


def test_a_signal_to_what_is_over_or_unknown_is_refused(
    box: Box, store: RedisStore
) -> None:
    assert store.signal(ref(), 0, "", b"{}") == "gone"
    begin(box)
    assert store.signal(ref("0.k1.0"), 0, "", b"{}") == "over"
    assert store.signal(ref(gen=2), 0, A, b"{}") == "over"
    store.commit(move("d"))
    assert store.signal(ref(), 1, "", b"{}") == "over"


def test_of_many_claims_at_once_one_wins(box: Box, store: RedisStore) -> None:
    for round_ in range(5):
        run = f"R-{round_}"
        store.start(starting(run=run))
        target = replace(ref(), run=run)
        answers: list[Claimed | Refused] = []
        barrier = threading.Barrier(4)

        def race(
            number: int, target: object = target, barrier: threading.Barrier = barrier,
            answers: list[Claimed | Refused] = answers,
        ) -> None:  # fmt: skip
            barrier.wait()
            answers.append(store.claim(target, nonce(number), LUA))  # type: ignore[arg-type]

        threads = [threading.Thread(target=race, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(isinstance(answer, Claimed) for answer in answers) == 1
        assert answers.count(Refused("taken")) == 3
        check(box, run)


def test_the_journal_is_read_in_pages_and_trimmed(box: Box, store: RedisStore) -> None:
    begin(box)
    store.commit(move("p"))
    first, second, third = store.journal("0", 10)
    assert [e.number for e in (first, second, third)] == [1, 2, 3]
    assert (first.run, first.gen, third.data) == (RUN, 1, b'{"e":[["passed"]]}')
    assert store.journal(first.id, 1) == [second]
    assert store.journal(third.id, 10) == []
    assert store.journal(third.id, 10, 20) == []
    full = store.journal_bytes()
    assert store.archived() == "0"
    store.trim(second.id, keep_ms=60_000)
    assert (store.journal("0", 10), store.archived()) == (
        [first, second, third],
        second.id,
    )
    for _ in range(2):
        store.trim(second.id)
        assert store.journal("0", 10) == [third]
    assert store.archived() == second.id
    assert 0 < store.journal_bytes() <= full
    assert store.head(RUN).number == 3  # type: ignore[union-attr]


def test_a_late_mark_takes_nothing_back_of_what_is_archived(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.commit(move("p"))
    first, second, third = store.journal("0", 10)
    store.trim(second.id, keep_ms=60_000)
    store.trim(first.id, keep_ms=60_000)
    assert store.archived() == second.id
    store.trim(first.id)
    assert (store.archived(), store.journal("0", 10)) == (second.id, [third])
    # As numbers, not as texts.
    ms, _, number = third.id.partition("-")
    later = [f"{ms}-{int(number) + n}" for n in (9, 10)]
    for mark in (later[1], later[0], f"{int(ms) // 10}-99999"):
        store.trim(mark)
        assert store.archived() == later[1]


def test_what_is_kept_of_the_journal_goes_when_it_is_old(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    time.sleep(0.25)
    box.pass_time(250)
    store.commit(move("p"))
    first, second, third = store.journal("0", 10)
    store.trim(third.id, keep_ms=store.now_ms() - third.at_ms + 200)
    assert store.journal("0", 10) == [third]
    assert first.at_ms <= second.at_ms < third.at_ms


def test_a_late_result_is_noted_once(box: Box, store: RedisStore) -> None:
    begin(box)
    late = b'{"a":"0","s":0,"w":"w-1","e":[["discarded","/children/0",1,"passed"]]}'
    other = late.replace(b"w-1", b"w-2")
    for entry in (late, late, other, other, late):
        store.discard(ref(), entry)
        check(box)
    assert [e.data for e in store.journal("0", 10)][2:] == [late, other, late]
    store.discard(ref(gen=2), other)
    assert len(store.journal("0", 10)) == 5
    store.finish(RUN, 1, "cancelled", "by a test")
    store.discard(ref(), other)
    assert len(store.journal("0", 10)) == 6


def test_a_removed_run_is_forgotten(box: Box, store: RedisStore) -> None:
    begin(box)
    store.commit(move("d"))
    store.remove(KEY)
    store.remove(KEY)
    assert store.head(RUN) is None
    assert store.record(KEY, "0") is None
    assert store.base(KEY, "b" * 16) is None
    assert store.log(KEY, "0", 3) == b""
    # A launcher that comes late, or a reply that was lost, does not begin it again.
    assert store.start(starting()) == "done"
    assert store.start(starting(gen=2)) == "ok"
    assert claim(box, "0", B).record.seq == 0
