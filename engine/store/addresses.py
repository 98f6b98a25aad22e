"""Addresses of chains, chords and batches, and places of lanes, made and parsed here.

`0` is the root chain, `0.k7` the chord it opened at sequence number 7, `0.k7.3` lane 3 of
that chord and `0.k7:3-8` a batch of its lanes 3 to 7. So the address of a chain begins
with the addresses of all chords around it. Scripts do the same in `scripts/prelude.lua`.
"""

from __future__ import annotations

from engine.store.base import BatchRef, Ref


def chord_at(addr: str, seq: int) -> str:
    """Return the address of the chord that a chain opens at a sequence number."""
    return f"{addr}.k{seq}"


def split_chord(chord: str) -> tuple[str, int]:
    """Return the chain that opened a chord, and the sequence number at which it did."""
    parent, _, seq = chord.rpartition(".k")
    return parent, int(seq)


def is_chord(addr: str) -> bool:
    """Return whether an address is that of a chord, as entries of batches have it."""
    return addr.rpartition(".")[2].startswith("k")


def lane_at(chord: str, lane: int) -> str:
    """Return the address of a lane of a chord."""
    return f"{chord}.{lane}"


def split_lane(addr: str) -> tuple[str, int]:
    """Return the chord and the index of a lane."""
    chord, _, lane = addr.rpartition(".")
    return chord, int(lane)


def lane_place(place: str, lane: int) -> str:
    """Return the place of a lane of the fanout at a place."""
    return f"{place}/lane[{lane}]"


def lane_of(place: str) -> int:
    """Return the innermost lane in which a place is."""
    return int(place.rpartition("/lane[")[2].partition("]")[0])


def lane_inside(chain: str, chord: str) -> int:
    """Return the lane of a chord in which a chain is."""
    return int(chain[len(chord) + 1 :].partition(".")[0])


def opened_at(addr: str, parent: str) -> int:
    """Return when `parent` opened the chord in which an address is."""
    return int(addr[len(parent) + 2 :].partition(".")[0])


def lies_on(addr: str) -> list[str]:
    """Return an address after those of the chords and chains around it."""
    parts = addr.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def chords_around(addr: str) -> list[str]:
    """Return the chords around a chain, the outermost first."""
    return lies_on(addr)[1:-1:2]


def is_opened_within(addr: str, chord: str) -> bool:
    """Return whether a chain, or a chain inside its chords, opened a chord."""
    return chord.startswith(f"{addr}.k")


def member_of(owner: Ref | BatchRef) -> str:
    """Return the address under which a chain or a batch is dispatched and leased."""
    if isinstance(owner, Ref):
        return owner.addr
    return f"{owner.chord}:{owner.lo}-{owner.hi}"


def owner_of(run: str, gen: int, member: str) -> Ref | BatchRef:
    """Return the chain or the batch of lanes that an address names."""
    chord, colon, span = member.partition(":")
    if not colon:
        return Ref(run, gen, member)
    lo, _, hi = span.partition("-")
    return BatchRef(run, gen, chord, int(lo), int(hi))
