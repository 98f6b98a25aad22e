"""Times that follow the scripts' clock, and times that follow the server's own."""

from __future__ import annotations

import re
import time
from importlib import resources
from typing import Any

from store_boxes import Box
from store_calls import KEY, LUA, A, begin, move, starting

from engine.store.redis import SCRIPTS, TOMBSTONE_MS, TOOK_MS, RedisStore
from engine.store.removals import REMOVED_MS
from engine.testing import Clock

A_DAY_MS = 24 * 3600 * 1000
A_MINUTE_MS = 60_000


def left_ms(box: Box, key: str) -> Any:
    return box.client.pttl(key)


def test_a_test_stands_on_the_scripts_clock_and_lets_it_pass(
    box: Box, store: RedisStore
) -> None:
    first = box.clock.now
    assert store.clock().now == first
    box.pass_time(7)
    assert (box.clock.now, store.clock().beat) == (first + 7, first + 7)
    assert begin(box).record.deadline_ms == first + 7 + A_MINUTE_MS
    # Other clocks of the same store continue while this one stands still.
    assert Clock(store).now == first + 7


def test_of_two_that_have_read_the_clock_one_moves_it(
    box: Box, store: RedisStore
) -> None:
    read = store.clock()
    assert store.set_clock(read, read.offset, read.now + 5, 0)
    assert not store.set_clock(read, read.offset, read.now + 9, 0)
    assert store.clock().now == read.now + 5


def test_ids_of_the_journal_and_now_ms_are_the_servers(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    box.pass_time(A_DAY_MS)
    wall = time.time() * 1000
    assert abs(store.now_ms() - wall) < A_MINUTE_MS
    assert all(abs(e.at_ms - wall) < A_MINUTE_MS for e in store.journal("0", 9))


def test_what_is_kept_of_the_journal_is_as_old_as_the_servers_clock_counts(
    box: Box, store: RedisStore
) -> None:
    begin(box)
    box.pass_time(A_DAY_MS)
    entries = store.journal("0", 9)
    store.trim(entries[-1].id, keep_ms=A_MINUTE_MS)
    assert store.journal("0", 9) == entries


def test_keys_expire_by_the_servers_clock(box: Box, store: RedisStore) -> None:
    store.finish("R-9", 1, "cancelled", "no")
    store.start(starting())
    store.claim_next([LUA], A, A_MINUTE_MS)
    store.commit(move("d"))
    store.remove(KEY)
    store.elect("steward", A_MINUTE_MS)
    box.pass_time(A_DAY_MS * 30)
    expected = {
        "p:R-9": TOMBSTONE_MS,
        "r:R-9:1": TOMBSTONE_MS,
        f"r:{KEY}": REMOVED_MS,
        f"took:{A}": TOOK_MS,
        "steward": A_MINUTE_MS,
    }
    for key, ttl in expected.items():
        assert ttl - A_MINUTE_MS / 4 < left_ms(box, f"swarm:s:{key}") <= ttl, key


def test_nothing_else_of_the_scripts_reads_the_servers_time() -> None:
    folder = resources.files("engine.store").joinpath("scripts")
    prelude = set(folder.joinpath("prelude.lua").read_bytes().splitlines())
    own = {
        name: b"\n".join(line for line in text.splitlines() if line not in prelude)
        for name, text in SCRIPTS.text.items()
    }
    reading = {
        name for name, text in own.items() if re.search(rb"'TIME'|'PX'|wall\[", text)
    }
    # The fast path of a commit has the clock of the prelude once more.
    assert reading == {"claim", "commit", "elect", "trim"}
    expiring = {name for name, text in SCRIPTS.text.items() if b"PEXPIRE" in text}
    assert expiring == {"elect", "finish", "remove"}
