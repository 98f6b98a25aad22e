"""Unusable messages are kept for people, and stop no script."""

from __future__ import annotations

import pytest
from store_boxes import Box
from store_calls import LUA, A, B, starting

from engine.store.dead_letters import (
    BURIED,
    DEAD,
    MOST_BYTES,
    MOST_KEPT,
    counts,
    dead_letter,
)

LONG = 10**9
LIST = f"swarm:q:{LUA}"


def test_dead_letters_are_counted_and_the_newest_of_them_kept(box: Box) -> None:
    for number in range(MOST_KEPT + 20):
        box.store.bury(LUA, f"reason {number}", b"x" * 3 * MOST_BYTES)
    box.store.bury("two\nlines", "a half \ud800, and\nlines", b"a\n\0\xff")

    assert counts(box.client.hgetall(BURIED)) == {LUA: MOST_KEPT + 20, "two lines": 1}
    kept = [dead_letter(raw) for raw in box.client.lrange(DEAD, 0, -1)]
    assert len(kept) == MOST_KEPT
    assert kept[0].source == "two lines"
    assert kept[0].why == "a half \\ud800, and lines"
    assert (kept[0].text, kept[0].size) == (b"a\n\0\xff", 4)
    assert kept[1].why == f"reason {MOST_KEPT + 19}"
    assert (len(kept[1].text), kept[1].size) == (MOST_BYTES, 3 * MOST_BYTES)
    assert kept[0].at_ms == box.clock.now


def test_the_sources_that_are_counted_have_an_end(box: Box) -> None:
    for number in range(MOST_KEPT + 20):
        box.store.bury(f"celeryev.{number}", "no event", b"")
    box.store.bury("celeryev.0", "no event", b"")
    found = counts(box.client.hgetall(BURIED))
    assert len(found) == MOST_KEPT + 1
    assert (found["celeryev.0"], found["others"]) == (2, 20)


def test_another_type_under_a_queues_name_stops_no_dispatch(box: Box) -> None:
    box.client.set(LIST, "no list")
    assert box.store.start(starting()) == "ok"
    assert box.client.llen(LIST) == 1
    [letter] = map(dead_letter, box.client.lrange(DEAD, 0, -1))
    assert letter.why == "a string lay where a list belongs"
    assert (letter.source, letter.text, letter.size) == (LUA, b"no list", 7)


@pytest.mark.parametrize("kind", ["string", "hash", "set"])
def test_another_type_under_a_queues_name_stops_neither_takers_nor_the_steward(
    kind: str, box: Box
) -> None:
    assert box.store.start(starting()) == "ok"
    box.client.delete(LIST)
    match kind:
        case "string":
            box.client.set(LIST, "x")
        case "hash":
            box.client.hset(LIST, "a", "b")
        case _:
            box.client.sadd(LIST, "a")
    assert box.store.claim_next([LUA], A, LONG) is None
    box.pass_time(1)
    assert box.store.repeat(0) == 1
    got = box.store.claim_next([LUA], B, LONG)
    assert got is not None
    assert counts(box.client.hgetall(BURIED)) == {LUA: 1}


@pytest.mark.parametrize(
    "tag",
    [
        "1/60/R-1:b/1/0",
        "1/60/R-1:l:0/1/0",
        "1/60/../1/0",
        "1/60/R-1/1/0|x",
        f"1/{'9' * 400}/R-1/1/0",
        "1/60/R-1//0",
    ],
)
def test_a_ticket_that_is_none_is_left_to_who_judges_it(tag: str, box: Box) -> None:
    assert box.store.start(starting()) == "ok"
    box.client.rpush(LIST, f'{{"delivery_tag": "swarm-ticket:{tag}"}}')
    assert box.store.claim_next([LUA], A, LONG) is None
    assert box.client.llen(LIST) == 2


def test_a_ticket_of_no_run_is_dropped_on_the_way(box: Box) -> None:
    assert box.store.start(starting()) == "ok"
    for tag in ("1/60/R-9/1/0", f"1/60/R-1/{'9' * 400}/0", "1/60/R-1/1/0.k9.9"):
        box.client.rpush(LIST, f'{{"delivery_tag": "swarm-ticket:{tag}"}}')
    got = box.store.claim_next([LUA], A, LONG)
    assert got is not None
    assert got[0].addr == "0"
