"""A generation is installed page by page: until it is opened it does not exist."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_boxes import Box
from store_calls import (
    ENGINE,
    KEY,
    LUA,
    RUN,
    A,
    B,
    begin,
    check,
    claim,
    move,
    ref,
    spec,
)

from engine.run.states import FINAL_RUN
from engine.store.base import Claimed, Lease, Refused, Renewal
from engine.store.installs import InstallRefused, Target
from engine.store.record import ChainState, Record, pack, unpack
from engine.store.redis import RedisStore
from engine.store.spec import pack_chord

NEXT = f"{RUN}:2"
TARGET = Target(RUN, 2, "one")
STEP = Record(
    7,
    "",
    "",
    ChainState.HELD,
    1,
    0,
    0,
    60_000,
    5,
    "b" * 16,
    LUA,
    "/children/0",
    b"s[1]",
)


def install(store: RedisStore, target: Target = TARGET, record: Record = STEP) -> None:
    """Install a root chain that waits for its step."""
    store.install(target, "begin", ("prog", "p" * 16, "n", 0))
    fields = ("c:0", pack(record), "k:0.k1", pack_chord(spec(1)))
    store.install(target, "hash", fields)
    store.install(target, "base", ("p" * 16, b"program", "b" * 16, b'{"a":1}'))
    store.install(target, "log", ("0", 0, b"[["))
    store.install(target, "log", ("0", 2, b"]]\n"))
    store.install(target, "items", ("0.k1", 0, b"[1]", b"[2]"))
    store.install(target, "results", ("0.k1", 0, b"0" * 12 + b"F"))
    store.install(target, "held", (f"0|{record.queue}",))


def test_a_record_is_packed_as_the_scripts_pack_it(box: Box, store: RedisStore) -> None:
    begin(box)
    raw = box.client.hget(f"swarm:s:r:{KEY}", "c:0")
    assert pack(unpack(raw)) == raw
    assert unpack(pack(STEP)) == STEP


def test_an_installed_generation_begins_with_what_it_holds(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.finish(RUN, 1, "failed", "by a test")
    install(store)
    install(store)
    assert store.items(NEXT, "0.k1", 1) == b"[2]"
    assert store.items(NEXT, "0.k1", 2) == b"[]"
    assert store.open_installed(TARGET, "running", 60_000) == "ok"
    assert store.open_installed(TARGET, "running", 60_000) == "ok"
    # An installer that died here leaves the rest to a steward.
    assert store.finish_resumes() == 1
    assert store.finish_resumes() == 0
    got = claim(box, "0", B)
    assert (got.record.seq, got.record.tries, got.log) == (7, 2, b"[[]]\n")
    assert [entry.number for entry in store.journal("0", 99) if entry.gen == 2] == [
        1,
        2,
    ]
    check(box)
    box.pass_time(61_000)
    assert store.fire().moved == 1
    head = store.head(RUN)
    assert head is not None
    assert (head.gen, head.status) == (2, "failed")


def test_a_chain_that_waits_for_a_retry_waits_for_the_rest_of_its_delay(
    box: Box, store: RedisStore
) -> None:
    install(store, record=replace(STEP, state=ChainState.WAITING, deadline_ms=4_000))
    assert store.open_installed(TARGET, "paused", 0) == "ok"
    assert store.journal("0", 99) == []
    assert store.resume(RUN) == "ok"
    view = box.view(RUN)
    assert view is not None
    assert view.timers == {("0", 7, "retry"): box.clock.now + 4_000}
    assert box.messages(LUA) == []
    box.pass_time(4_000)
    assert store.fire().moved == 1
    assert isinstance(claim(box, "0", B), Claimed)


def test_no_script_touches_a_generation_before_it_is_opened(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    store.finish(RUN, 1, "failed", "by a test")
    install(store, record=replace(STEP, state=ChainState.PENDING))
    before = box.client.hgetall(f"swarm:s:r:{NEXT}")
    at = ref(gen=2)
    assert store.claim(at, A, LUA) == Refused("stale")
    assert store.commit(move("c", ref=at, seq=7)) == Refused("stale")
    assert store.signal(at, 7, "", b"{}") == "over"
    assert store.emit(at, 7, A, 1, b"{}") == "stale"
    assert store.renew([Lease(NEXT, "0", A)]) == [Renewal.CANCELLED]
    assert not store.died(Lease(NEXT, "0", A), "by a test")
    store.discard(at, b"{}")
    # The calls by run find the one that has ended.
    assert (store.pause(RUN), store.resume(RUN)) == ("failed", "failed")
    assert (store.finish_resumes(), store.repeat(0), store.expire(3)) == (0, 0, 0)
    assert box.client.hgetall(f"swarm:s:r:{NEXT}") == before
    assert store.installing() == {(RUN, 2)}


def test_an_install_of_other_data_is_refused(box: Box, store: RedisStore) -> None:
    install(store)
    with pytest.raises(InstallRefused, match="taken"):
        install(store, replace(TARGET, token="other"))
    assert store.open_installed(replace(TARGET, token="other"), "running", 0) == "gone"
    with pytest.raises(InstallRefused, match="gone"):
        store.install(replace(TARGET, gen=3), "hash", ("c:0", b"x"))
    assert store.open_installed(TARGET, "running", 0) == "ok"
    with pytest.raises(InstallRefused, match="running"):
        install(store)
    with pytest.raises(InstallRefused, match="stale"):
        install(store, replace(TARGET, gen=1))


def test_a_generation_that_was_cancelled_meanwhile_is_not_opened(
    box: Box, store: RedisStore
) -> None:
    install(store)
    assert store.finish(RUN, 2, "cancelled", "enough") == "ok"
    assert store.open_installed(TARGET, "running", 0) == "cancelled"
    assert store.finish_resumes() == 0
    store.remove(NEXT)
    assert store.installing() == set()
    left = box.client.keys(f"swarm:s:r:{NEXT}:*")
    assert left == []


def test_half_an_install_is_removed_to_its_end(box: Box, store: RedisStore) -> None:
    install(store)
    store.remove(NEXT, 0)
    assert box.client.keys(f"swarm:s:r:{NEXT}:*") == []
    assert store.installing() == set()
    assert store.head(RUN) is None
    with pytest.raises(InstallRefused, match="taken"):
        install(store)


def test_a_generation_that_was_opened_meanwhile_is_not_removed(
    box: Box, store: RedisStore
) -> None:
    install(store)
    assert store.open_installed(TARGET, "running", 0) == "ok"
    store.remove(NEXT, 0)
    head = store.head(RUN)
    assert head is not None
    assert (head.gen, head.status) == (2, "running")
    assert box.client.exists(f"swarm:s:r:{NEXT}:b")


def test_what_worked_on_the_generation_before_has_lost_it(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    install(store)
    assert store.open_installed(TARGET, "running", 0) == "ok"
    assert store.commit(move("c")) == Refused("over")
    assert store.claim(ref(), B, ENGINE) == Refused("over")
    head = store.head_of(KEY)
    assert head is not None
    assert head.status == "replaced"
    assert head.status not in FINAL_RUN
