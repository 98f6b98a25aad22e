"""The opening of a chord: one transition, made of a Fork, that dispatches lanes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cachetools import LRUCache

from engine.flow.nodes import Fanout, Join
from engine.ports import Spawner
from engine.run.chain.ctx import TooLarge, stored_text
from engine.run.chain.machine import Fork
from engine.run.chain.outputs import Shelf
from engine.run.drive.turn import Turn
from engine.run.limits import Limits, timeout_of
from engine.store.addresses import chord_at
from engine.store.base import (
    ENGINE_QUEUE,
    ENGINE_TIMEOUT_MS,
    ITEM_PAGE,
    ChordSpec,
    Moved,
    Open,
    Ref,
    Refused,
    StoreFull,
)
from engine.store.port import RunStore

logger = logging.getLogger(__name__)

UPLOAD_ABOVE: Final = 256 * 1024
FULL_MS: Final = 2_000
MOST_FULL_MS: Final = 30_000
MOST_WAITS: Final = 4_096
BATCHED: Final = frozenset({Join.ALL, Join.ALL_SETTLED})


def pages_of(
    items: Sequence[Any], limit: int, shelf: Shelf | None = None
) -> list[bytes]:
    """Return items as JSON arrays of up to ITEM_PAGE; TooLarge beyond `limit` bytes.

    Items that are too large for the Ctx go on the shelf.
    """
    pages: list[bytes] = []
    left = limit
    for at in range(0, len(items), ITEM_PAGE):
        some = list(items[at : at + ITEM_PAGE])
        page = stored_text(some, left)
        if shelf is not None and len(page) > shelf.limit:
            page = stored_text([shelf.kept(item) for item in some], left)
        pages.append(page)
        left -= len(page)
    return pages


class Unstorable(Exception):
    """The items of a fanout can't be stored; `error` ends their chain."""

    def __init__(self, error: list[str]) -> None:
        """Keep the kind and the text of the error."""
        super().__init__(error[1])
        self.error = error


def checked_pages(
    items: Sequence[Any], limits: Limits, shelf: Shelf | None = None
) -> list[bytes]:
    """Return the pages of a fanout's items, or raise Unstorable."""
    try:
        return pages_of(items, limits.input_bytes, shelf)
    except TooLarge:
        raise Unstorable(limits.too_large("the items of a fanout are")) from None
    except (TypeError, ValueError) as error:
        text = f"the items of a fanout can't be written as JSON: {error}"
        raise Unstorable(["InputLimit", text]) from None


def lanes_a_message(size: int, limits: Limits) -> int:
    """Return the number of lanes in a message, a power of two that divides a page.

    A small fanout has fewer, so that every consumer gets several messages.
    """
    share = -(-size // (4 * limits.consumers))
    most = max(1, min(limits.lane_batch, ITEM_PAGE, share))
    return 1 << (most.bit_length() - 1)


def lanes_at_once(
    node: Fanout, size: int, limits: Limits, *, batched: bool
) -> tuple[int, int]:
    """Return the number of lanes in a message, and the window of a chord.

    The store sends a message while fewer lanes than the window run, so the last message
    may exceed it by a batch less one; with `max_parallel` the window is smaller by that.
    """
    most = node.max_parallel
    if most is None:
        return lanes_a_message(size, limits) if batched else 1, limits.window
    batch = lanes_a_message(min(size, most), limits) if batched else 1
    # With few lanes at once, each gets its own worker.
    batch = min(batch, 1 << (most.bit_length() - 1))
    return batch, min(limits.window, most - batch + 1)


def spec_of(
    turn: Turn, fork: Fork, spawners: Mapping[str, Spawner], limits: Limits
) -> ChordSpec:
    """Return the constants of the chord a fork opens."""
    layout, program = turn.prepared.layout, turn.prepared.program
    step = layout.first_step(layout.children[fork.number][0])
    queue, timeout_ms, in_process = ENGINE_QUEUE, ENGINE_TIMEOUT_MS, True
    if step is not None and step.ref in program.agents:
        agent = program.agents[step.ref]
        spawner = spawners.get(agent.kind)
        queue, timeout_ms = agent.queue, timeout_of(agent, limits)
        in_process = spawner is not None and spawner.in_process
    size = len(fork.items)
    batched = in_process and fork.node.join in BATCHED
    batch, window = lanes_at_once(fork.node, size, limits, batched=batched)
    return ChordSpec(
        size=size,
        batch=batch,
        window=window,
        parent=turn.ref.addr,
        parent_len=turn.chain.offset,
        base_id=turn.base_id,
        queue=queue,
        timeout_ms=timeout_ms,
        mode=fork.node.join.value,
        node=fork.number,
        place=fork.place,
    )


def opening_of(turn: Turn, fork: Fork, spec: ChordSpec, who: str) -> Open:
    """Return the transition that opens a chord; `open_chord` adds the pages."""
    chord = chord_at(turn.ref.addr, turn.seq)
    turn.chain.opened = turn.seq
    size = [spec.size, spec.batch, spec.window]
    turn.events.append(["opened", fork.place, spec.mode, *size])
    return Open(
        ref=turn.ref,
        seq=turn.seq,
        nonce=turn.nonce,
        offset=turn.chain.start,
        edits=bytes(turn.chain.edits),
        frames=turn.chain.pack(),
        place=fork.place,
        entry=turn.entry(who),
        chord=chord,
        spec=spec,
        pages=[],
        had_signal=turn.had_signal,
        base=turn.new_base,
        consumed=turn.chain.consumed,
        unreferenced=turn.dropped_chords(),
    )


def open_chord(
    store: RunStore, opening: Open, pages: Sequence[bytes]
) -> Moved | Refused:
    """Open a chord with these pages of items; large pages are uploaded before.

    If the chord does not open, the upload is removed: it would fill the store for which
    the chord waits.
    """
    if sum(map(len, pages)) <= UPLOAD_ABOVE:
        return store.open_chord(replace(opening, pages=pages))
    upload = opening.ref.key, opening.chord, opening.nonce
    try:
        store.upload_items(*upload, pages)
        answer = store.open_chord(opening)
    except StoreFull:
        store.drop_upload(*upload)
        raise
    if isinstance(answer, Refused):
        store.drop_upload(*upload)
    return answer


class Waits:
    """How long chains wait for a store that is full, or for outputs that are away.

    A wait has no journal entry and one log line a run, so that neither grows meanwhile.
    """

    def __init__(self) -> None:
        """Start without waiting chains."""
        self._logged: LRUCache[str, bool] = LRUCache(MOST_WAITS)
        self._since: LRUCache[tuple[Ref, str], int] = LRUCache(MOST_WAITS)
        self._postponed: LRUCache[tuple[Ref, int], int] = LRUCache(MOST_WAITS)

    def delay_ms(self, ref: Ref, seq: int, place: str, error: StoreFull) -> int:
        """Return the milliseconds until a chain retries its fork, doubled each time."""
        self._log(ref, f"to open a fanout: {error}")
        # Each wait is one transition, so the sequence number counts them.
        return _doubled(seq - self._since.setdefault((ref, place), seq))

    def postponed_ms(self, ref: Ref, seq: int, error: Exception) -> int:
        """Return the milliseconds until a chain takes up a transition, doubled each time."""
        self._log(ref, f"for its outputs: {error}")
        times = self._postponed[ref, seq] = self._postponed.get((ref, seq), -1) + 1
        return _doubled(times)

    def _log(self, ref: Ref, why: str) -> None:
        if ref.run not in self._logged:
            self._logged[ref.run] = True
            logger.warning("run %s waits %s", ref.run, why)


def _doubled(times: int) -> int:
    return min(FULL_MS << max(0, min(times, 8)), MOST_FULL_MS)


def lane_decides(mode: str, failed: bool) -> bool:
    """Return whether the end of a lane decides its chord at once."""
    return mode == "race" or mode == ("all" if failed else "any")
