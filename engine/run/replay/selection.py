"""Which entries the replay of one chain needs: its own, and those of the chains around it.

A lane starts from the Ctx of its parent when its fanout opened. So it needs what came
before that in the chains around it, with the fanouts they had joined by then, and nothing
of the other lanes beside it.
"""

from __future__ import annotations

from engine.run.journal.entries import Content
from engine.store.addresses import (
    chord_at,
    chords_around,
    lane_at,
    lane_inside,
    opened_at,
    split_chord,
)
from engine.store.base import ITEM_PAGE


def concerns(content: Content, chain: str) -> bool:
    """Return whether the replay of a chain, up to its last entry, needs an entry."""
    addr, seq = content.addr, content.seq
    if not addr or addr == chain or addr.startswith(f"{chain}."):
        return True
    for chord in chords_around(chain):
        parent, opened = split_chord(chord)
        lane = lane_inside(chain, chord)
        if addr == parent:
            return seq <= opened
        if addr == chord:
            return content.settled < 0 or seq <= lane <= seq + content.settled
        if not addr.startswith(f"{chord}."):
            # An earlier fanout of the parent; a later one opened after this one joined.
            return opened_at(addr, parent) < opened
        inner = lane_at(chord, lane)
        if addr != inner and not addr.startswith(f"{inner}."):
            return False
    return True


def is_beside(addr: str, seq: int, chain: str) -> bool:
    """Return whether an entry is surely of a batch that does not have the chain's lane.

    The lanes of a batch share a page of items.
    """
    if not chain.startswith(f"{addr}.") or addr not in chords_around(chain):
        return False
    lane = lane_inside(chain, addr)
    return not lane - lane % ITEM_PAGE <= seq <= lane


def earlier_chord(content: Content, chain: str) -> str:
    """Return the chord that an entry of a chain around another opens and joins before it.

    Empty for any other entry. `concerns` is true of the entry.
    """
    chord = chord_at(content.addr, content.seq)
    opens = any(event[0] == "opened" for event in content.events)
    around = chain.startswith(f"{content.addr}.")
    return chord if opens and around and not chain.startswith(f"{chord}.") else ""
