"""Opening a chord: from a machine's Fork to the one transition that dispatches lanes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cachetools import LRUCache

from engine.flow.nodes import Fanout, Join
from engine.ports import Spawner
from engine.run.ctx import dump_expanded
from engine.run.events import pack_entry
from engine.run.machine import Fork
from engine.run.turn import ENGINE_TIMEOUT_MS, Limits, Turn, timeout_of
from engine.store.base import (
    ENGINE_QUEUE,
    ITEM_PAGE,
    ChordSpec,
    Moved,
    Open,
    Ref,
    Refused,
    RunStore,
    StoreFull,
)

logger = logging.getLogger(__name__)

UPLOAD_ABOVE: Final = 256 * 1024
FULL_MS: Final = 2_000
MOST_FULL_MS: Final = 30_000
MOST_WAITS: Final = 4_096
BATCHED: Final = frozenset({Join.ALL, Join.ALL_SETTLED})


def pages_of(items: Sequence[Any], limit: int) -> list[bytes]:
    """Return items as JSON arrays of up to ITEM_PAGE; TooLarge beyond `limit` bytes."""
    pages: list[bytes] = []
    left = limit
    for at in range(0, len(items), ITEM_PAGE):
        pages.append(dump_expanded(list(items[at : at + ITEM_PAGE]), left))
        left -= len(pages[-1])
    return pages


def lanes_a_message(size: int, limits: Limits) -> int:
    """Return how many lanes a message carries: a power of two, so none spans two pages.

    Fewer when the fanout is small, so that every consumer gets several messages.
    """
    share = -(-size // (4 * limits.consumers))
    most = max(1, min(limits.lane_batch, ITEM_PAGE, share))
    return 1 << (most.bit_length() - 1)


def lanes_at_once(
    node: Fanout, size: int, limits: Limits, *, batched: bool
) -> tuple[int, int]:
    """Return a chord's lanes a message and its window.

    The store sends a message while fewer lanes than the window are under way, so up to
    a batch less one beyond it: with `max_parallel` the window is that much smaller.
    """
    most = node.max_parallel
    if most is None:
        return lanes_a_message(size, limits) if batched else 1, limits.window
    batch = lanes_a_message(min(size, most), limits) if batched else 1
    # With few lanes at once, each is to have a worker of its own.
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
    """Return the transition that opens a chord; its pages are filled in by the caller."""
    chord = f"{turn.ref.addr}.k{turn.seq}"
    turn.chain.opened = turn.seq
    turn.events.append(["opened", fork.place, spec.mode, spec.size])
    return Open(
        ref=turn.ref,
        seq=turn.seq,
        nonce=turn.nonce,
        offset=turn.chain.start,
        edits=bytes(turn.chain.edits),
        frames=turn.chain.pack(),
        place=fork.place,
        entry=pack_entry(turn.ref.addr, turn.seq, who, turn.events),
        chord=chord,
        spec=spec,
        pages=[],
        timeout_ms=ENGINE_TIMEOUT_MS,
        had_signal=turn.had_signal,
        base=turn.new_base,
        consumed=turn.chain.consumed,
        needless=turn.dropped(),
    )


def open_chord(
    store: RunStore, opening: Open, pages: Sequence[bytes]
) -> Moved | Refused:
    """Open a chord with these pages of items; many bytes of them are stored before.

    A chord that does not open leaves nothing of them: they would take the very room
    that it waits for.
    """
    if sum(map(len, pages)) <= UPLOAD_ABOVE:
        return store.open_chord(replace(opening, pages=pages))
    upload = opening.ref.run, opening.chord, opening.nonce
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
    """How long chains wait for room in a store that is full.

    The journal is not told, and the log once a run: neither is to grow meanwhile.
    """

    def __init__(self) -> None:
        """Begin with no chain that waits."""
        self._told: LRUCache[str, bool] = LRUCache(MOST_WAITS)
        self._since: LRUCache[tuple[Ref, str], int] = LRUCache(MOST_WAITS)

    def delay_ms(self, ref: Ref, seq: int, place: str, error: StoreFull) -> int:
        """Return when a chain is to try a fork again: twice as long each time."""
        if ref.run not in self._told:
            self._told[ref.run] = True
            logger.warning("run %s waits to open a fanout: %s", ref.run, error)
        # A wait is one transition, whichever worker makes it.
        times = seq - self._since.setdefault((ref, place), seq)
        return min(FULL_MS << max(0, min(times, 8)), MOST_FULL_MS)


def lane_decides(mode: str, failed: bool) -> bool:
    """Tell whether a lane that ended this way decides its chord at once."""
    match mode:
        case "race":
            return True
        case "any":
            return not failed
        case "all":
            return failed
        case _:
            return False
