"""The events of one journal entry, which a replay compares with what the program does."""

from __future__ import annotations

from typing import Any, Final

from engine.flow.json_text import dump_compact
from engine.flow.shortened import shortened
from engine.run.journal.entries import Content, Event
from engine.store.base import JournalEntry

SILENT: Final = frozenset({"output", "details", "stats", "discarded"})
"""The events that move nothing."""
MOST: Final = 300
"""The characters that an error shows of one event."""


class ReplayError(Exception):
    """A program does not do what its journal says; the text names both sides."""

    def __init__(
        self, entry: JournalEntry, place: str, journal: str, program: str
    ) -> None:
        """Name the entry, the place and both sides."""
        self.run, self.gen, self.number = entry.run, entry.gen, entry.number
        self.place, self.journal, self.program = place, journal, program
        where = f", at {place}" if place else ""
        super().__init__(
            f"the replay of run {entry.run} (generation {entry.gen}) stops at entry"
            f" {entry.number}{where}: the journal has {journal}, and the program gives"
            f" {program}"
        )


class Tape:
    """Reads the events of an entry in their order, without the silent ones."""

    def __init__(self, entry: JournalEntry, content: Content) -> None:
        """Start at the first event; `place` of an error is that of the latest event."""
        self.entry = entry
        self.content = content
        self.place = ""
        self._events = [one for one in content.events if one[0] not in SILENT]
        self._at = 0

    @property
    def next(self) -> Event | None:
        """The next event, None after the last."""
        return self._events[self._at] if self._at < len(self._events) else None

    @property
    def kind(self) -> str:
        """The kind of the next event, empty after the last."""
        return self._events[self._at][0] if self._at < len(self._events) else ""

    def is_next(self, *event: Any) -> bool:
        """Return whether the next event starts with these fields."""
        found = self.next
        return found is not None and found[: len(event)] == list(event)

    def take(self, *event: Any) -> Event:
        """Return the next event, which has to start with these fields."""
        if not self.is_next(*event):
            raise self.differs(_shown(list(event)))
        self._at += 1
        return self._events[self._at - 1]

    def take_if(self, *event: Any) -> bool:
        """Take the next event if it starts with these fields; return whether it did."""
        found = self.is_next(*event)
        self._at += found
        return found

    def end(self) -> None:
        """Raise ReplayError if there is another event."""
        if self.next is not None:
            raise self.differs("nothing more")

    def differs(self, program: str) -> ReplayError:
        """Return the error of a program that gives something else than the next event."""
        found = self.next
        journal = "nothing more" if found is None else _shown(found)
        return ReplayError(self.entry, self.place, journal, program)

    def wrong(self, journal: str, program: str) -> ReplayError:
        """Return the error of two sides that are no events."""
        return ReplayError(self.entry, self.place, journal, program)


def _shown(event: Event) -> str:
    text = dump_compact(shortened(event))
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"
