"""What only the Redis member has: two protocols, and scripts it may not know yet."""

from __future__ import annotations

import pytest
from store_boxes import LEASE_MS, TEMPLATE, RedisBox
from store_calls import RUN, starting

from engine.store.redis import RedisStore


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_journal_reads_the_same_in_both_protocols(
    redis_socket: str, protocol: int
) -> None:
    RedisBox(redis_socket)
    url = f"unix://{redis_socket}?protocol={protocol}"
    store = RedisStore(url, template=TEMPLATE, lease_ms=LEASE_MS)
    store.start(starting())
    store.pause(RUN)
    assert [entry.number for entry in store.journal("0", 10)] == [1, 2]


def test_a_server_that_forgot_its_scripts_learns_them_again(redis_socket: str) -> None:
    box = RedisBox(redis_socket)
    box.store.start(starting())
    box.client.script_flush()
    assert box.store.start(starting()) == "ok"
