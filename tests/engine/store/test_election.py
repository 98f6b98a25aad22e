"""The steward's lock: one owner, which keeps it, and a successor after it is gone."""

from __future__ import annotations

from store_boxes import Box

from engine.store.redis import STATE, RedisStore

TTL_MS = 60_000


def test_the_owner_keeps_its_lock_and_no_other_gets_it(
    box: Box, store: RedisStore
) -> None:
    assert store.elect("first", TTL_MS)[0] == 1
    box.client.pexpire(f"{STATE}steward", 1_000)
    assert store.elect("second", TTL_MS)[0] == -1
    assert store.elect("first", TTL_MS)[0] == 1
    assert box.client.pttl(f"{STATE}steward") > TTL_MS // 2
    store.abdicate("second")
    assert store.elect("second", TTL_MS)[0] == -1
    store.abdicate("first")
    assert store.elect("second", TTL_MS)[0] == 2


def test_an_owner_without_a_beat_since_the_last_look_is_gone(
    box: Box, store: RedisStore
) -> None:
    store.elect("first", TTL_MS)
    _, noted = store.elect("second", TTL_MS)
    box.pass_time(1)
    assert store.elect("second", TTL_MS, noted)[0] == -1
    _, noted = store.elect("second", TTL_MS)
    assert store.elect("second", TTL_MS, noted)[0] == 2
