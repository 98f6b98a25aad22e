"""What only the Redis member has: two protocols, and scripts it may not know yet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_boxes import LEASE_MS, TEMPLATE, RedisBox
from store_calls import RUN, starting

from engine.store.address import Address
from engine.store.redis import RedisStore


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_journal_reads_the_same_in_both_protocols(
    redis_socket: str, protocol: int
) -> None:
    RedisBox(redis_socket)
    address = Address.of(f"unix://{redis_socket}")
    speaking = replace(address, options={**address.options, "protocol": protocol})
    store = RedisStore(speaking, template=TEMPLATE, lease_ms=LEASE_MS)
    store.start(starting())
    store.pause(RUN)
    assert [entry.number for entry in store.journal("0", 10)] == [1, 2]


def test_a_server_that_forgot_its_scripts_learns_them_again(redis_socket: str) -> None:
    box = RedisBox(redis_socket)
    box.store.start(starting())
    box.client.script_flush()
    assert box.store.start(starting()) == "ok"


def test_a_page_of_the_journal_has_so_many_entries_or_bytes(redis_socket: str) -> None:
    box = RedisBox(redis_socket)
    for number in range(100):
        large = 40 <= number < 50
        entry = {"r": "R-1", "g": 1, "n": number, "e": b"x" * (1000 if large else 10)}
        box.client.xadd("swarm:s:j", entry)
    pages, after = [], "0"
    while page := box.inner.journal_page(after, 45, 3_000):
        pages.append([entry.number for entry in page])
        after = page[-1].id
    assert [number for page in pages for number in page] == list(range(100))
    # The first has 40 small and 3 large ones: 3,400 bytes; then 3, 3, and the last.
    assert [len(page) for page in pages] == [43, 3, 3, 45, 6]
    box.close()
