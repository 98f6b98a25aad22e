"""What a journal entry must be before anybody reads its events.

Whoever can write to Redis can write to the journal. One entry that is none must stop
neither the archive nor a command that follows a run.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from engine.run.events import FIELDS, OPTIONAL
from engine.run.outputs import is_wire
from engine.store.base import JournalEntry

LARGEST_ENTRY: Final = 64 << 20
LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: no time is later, for Python and databases alike."""
LARGEST_NUMBER: Final = (1 << 31) - 1
_INTEGERS: Final = frozenset(
    {
        "attempt",
        "deadline_ms",
        "delay_ms",
        "first",
        "hi",
        "lane",
        "lo",
        "lost",
        "size",
        "took_ms",
    }
)
# A run that is ended from outside fails with a text alone.
_LEAST: Final = {kind: len(set(names) - OPTIONAL) for kind, names in FIELDS.items()} | {
    "run_failed": 1
}


class BadEntry(ValueError):
    """A journal entry that says nothing; the text says what is wrong with it."""


def events_of(entry: JournalEntry) -> dict[str, Any]:
    """Return what an entry says, or raise BadEntry."""
    if not entry.run:
        raise BadEntry("it has no run, generation, number and content")
    if not (
        entry.at_ms <= LAST_MS
        and 0 <= entry.gen <= LARGEST_NUMBER
        and 0 <= entry.number <= LARGEST_NUMBER
    ):
        raise BadEntry("its time, generation or number is out of range")
    if len(entry.data) > LARGEST_ENTRY:
        raise BadEntry(f"larger than {LARGEST_ENTRY} bytes")
    try:
        data = orjson.loads(entry.data)
    except orjson.JSONDecodeError as error:
        raise BadEntry(f"not JSON: {ascii(str(error))[:80]}") from None
    if not isinstance(data, dict) or not isinstance(data.get("e"), list):
        raise BadEntry("not an object with a list of events")
    if not isinstance(data.get("w", ""), str):
        raise BadEntry("its worker is no text")
    for event in data["e"]:
        _check(event)
    return data


def _check(event: Any) -> None:
    kind = event[0] if isinstance(event, list) and event else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise BadEntry(f"an event of unknown kind: {ascii(kind)[:40]}")
    names = FIELDS[kind]
    if len(event) <= _LEAST[kind]:
        raise BadEntry(f"an event {kind!r} that lacks fields")
    for name, value in zip(names, event[1:], strict=False):
        if not _fits(name, value):
            raise BadEntry(f"an event {kind!r} whose {name} is {ascii(value)[:40]}")


def _fits(name: str, value: Any) -> bool:
    if name in _INTEGERS:
        most = LAST_MS if name.endswith("_ms") else LARGEST_NUMBER
        return type(value) is int and -1 <= value <= most
    match name:
        case "value":
            return True
        case "stats":
            return isinstance(value, dict)
        case "events":
            return isinstance(value, list) and all(map(is_wire, value))
    return isinstance(value, str)
