"""The store's connection: two protocols, and scripts that Redis may not know yet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_boxes import LEASE_MS, Box
from store_calls import RUN, starting

from engine.store.redis import RedisStore
from engine.store.server_url import ServerUrl
from engine.testing import TEMPLATE


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_journal_reads_the_same_in_both_protocols(box: Box, protocol: int) -> None:
    server_url = ServerUrl.of(box.url)
    speaking = replace(server_url, options={**server_url.options, "protocol": protocol})
    store = RedisStore(speaking, template=TEMPLATE, lease_ms=LEASE_MS)
    store.start(starting())
    store.pause(RUN)
    assert [entry.number for entry in store.journal("0", 10)] == [1, 2]


def test_a_server_that_forgot_its_scripts_learns_them_again(box: Box) -> None:
    box.store.start(starting())
    box.client.script_flush()
    assert box.store.start(starting()) == "ok"


def test_a_page_of_the_journal_has_so_many_entries_or_bytes(box: Box) -> None:
    for number in range(100):
        large = 40 <= number < 50
        entry = {"r": "R-1", "g": 1, "n": number, "e": b"x" * (1000 if large else 10)}
        box.client.xadd("swarm:s:j", entry)
    pages, after = [], "0"
    while page := box.store.journal_page(after, 45, 3_000):
        pages.append([entry.number for entry in page])
        after = page[-1].id
    assert [number for page in pages for number in page] == list(range(100))
    # The first has 40 small and 3 large ones: 3,400 bytes; then 3, 3, and the last.
    assert [len(page) for page in pages] == [43, 3, 3, 45, 6]
