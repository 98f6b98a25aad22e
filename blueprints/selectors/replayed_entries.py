"""Find the archived entries that the replay of one chain takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from django.db.models import Q

from blueprints.models import Run, RunEvent
from blueprints.models.events import stored_bytes
from engine.run.journal.entries import BadEntry, Content, read_entry
from engine.run.journal.hashes import microseconds
from engine.run.replay.selection import concerns, earlier_chord, is_beside
from engine.store.addresses import lies_on
from engine.store.base import JournalEntry

_SEQ: Final = re.compile(rb'\{"a":"[^"]*","s":(\d+)')


def chain_entries(run: Run, chain: str) -> list[JournalEntry]:
    """Return the entries that the replay of one chain needs, in order.

    No lane beside the chain is read: first come the chains around it, then the fanouts
    that these had joined before they opened the one of the chain.
    """
    on_path = Q(addr__in=["", *lies_on(chain)]) | Q(addr__startswith=f"{chain}.")
    found = _needed(_entries(run, on_path, chain), chain)
    before = Q()
    for _, content in found:
        if chord := earlier_chord(content, chain):
            before |= Q(addr=chord) | Q(addr__startswith=f"{chord}.")
    if before:
        found += _needed(_entries(run, before), chain)
    entries = {entry.number: entry for entry, _ in found}
    return [entries[number] for number in sorted(entries)]


def step_address(run: Run, place: str, times: Iterable[datetime]) -> str | None:
    """Return the address of the chain of a step that has entries at these times."""
    for entry in _entries(run, Q(at__in=list(times))):
        content = _content(entry)
        if any(event[1:2] == [place] for event in content.events):
            return content.chain_at(place)
    return None


def _entries(run: Run, which: Q, chain: str = "") -> Iterator[JournalEntry]:
    """Yield entries; with a chain, none of the batches beside it."""
    rows = RunEvent.objects.filter(which, run=run, generation=run.generation)
    found = rows.order_by("number").values_list("number", "at", "addr", "data")
    for number, at, addr, data in found.iterator():
        packed = stored_bytes(data)
        # A wide fanout has many of them, and to parse each would take seconds.
        if (
            chain
            and (seq := _SEQ.match(packed))
            and is_beside(addr, int(seq[1]), chain)
        ):
            continue
        at_ms = microseconds(at) // 1000
        yield JournalEntry("", run.pk, run.generation, number, at_ms, packed)


def _needed(
    entries: Iterable[JournalEntry], chain: str
) -> list[tuple[JournalEntry, Content]]:
    read = ((entry, _content(entry)) for entry in entries)
    return [(entry, content) for entry, content in read if concerns(content, chain)]


def _content(entry: JournalEntry) -> Content:
    """Return what an entry has; an invalid one concerns all, and the replay names it."""
    try:
        return read_entry(entry)
    except BadEntry:
        return Content([])
