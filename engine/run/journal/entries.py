"""Journal entries: the closed set of events, how an entry is packed, and how it is read.

An entry is a JSON object (`pack_entry`), and each of its events an array that starts with
its kind; FIELDS names the rest. Every writer to Redis can write an entry, so all readers
use `read_entry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from engine.run.chain.outputs import OutputRef, is_output_ref
from engine.run.journal.outputs import is_wire
from engine.run.states import RunStatus
from engine.store.addresses import is_chord, lane_at, lane_of
from engine.store.base import JournalEntry

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    # `limits` are those that decide how the flow goes on (Limits.deciding).
    "run_started": ("program_id", "deadline_ms", "limits"),
    "run_paused": (),
    "run_resumed": (),
    "run_done": (),
    # `at` is the place of the error, `ctx` what the Ctx had at the paths it was about.
    "run_failed": ("kind", "text", "at", "ctx"),
    "run_cancelled": ("text",),
    # Steps and attempts; `attempt` counts from 1. A lane of a batch has no `started`
    # event; its outcome has `took_ms` instead.
    "pending": ("place", "agent"),
    "started": ("place", "attempt"),
    # An attempt could not start, since it needs outputs that are away: it is not charged.
    "postponed": ("place", "attempt"),
    "passed": ("place", "attempt", "agent", "value", "took_ms"),
    "blocked": ("place", "attempt", "agent", "value", "took_ms"),
    "failed": ("place", "attempt", "agent", "text", "took_ms"),
    "timed_out": ("place", "attempt", "agent", "text", "took_ms"),
    "retry": ("place", "attempt", "agent", "text", "delay_ms", "reason", "took_ms"),
    # `signal` is the stored outcome that the next claim takes: the end of a step that was
    # lost too often, or an empty object for any other.
    "lost": ("place", "attempt", "lost", "signal"),
    "step_lost": ("place", "attempt", "agent", "text"),
    # Follows the outcome of an attempt that has failed: its input as JSON text, cut after
    # MOST_INPUT bytes of `size`, and the traceback of the agent's own code.
    "details": ("place", "attempt", "input", "size", "traceback"),
    # The cost of an attempt, whatever its outcome: model, usage, num_turns.
    "stats": ("place", "attempt", "stats"),
    # Chords. `lane` of `joined` is the lane that decided, -1 when all settled.
    "opened": ("place", "mode", "size", "batch", "window"),
    "joined": ("place", "lane"),
    "lane_ended": ("place", "error"),
    # `signal` is the outcome that the lane gets.
    "batch_broken": ("lo", "hi", "lane", "signal"),
    # `nodes` were entered since the last signal; 0 where a lane leaves its batch to fork.
    "checkpoint": ("place", "nodes"),
    # An error of the runtime in a flow, such as a join that kills its workers.
    "raised": ("place", "kind", "text"),
    "discarded": ("place", "attempt", "outcome"),
    # Output events of an attempt in wire form (engine/run/journal/outputs.py); `first` is
    # the number of the first of them in the attempt.
    "output": ("place", "attempt", "first", "events"),
    # Of the archive alone: entries, up to the number `upto`, that it does not have.
    "gap": ("upto", "text"),
}

STEP_ENDS: Final = frozenset({"passed", "blocked", "failed", "timed_out", "step_lost"})
"""The events that end a step."""

MOVES: Final = {
    "run_started": RunStatus.RUNNING,
    "run_resumed": RunStatus.RUNNING,
    "run_paused": RunStatus.PAUSED,
}
"""The events that move an open run, with the status after them."""

ENDS: Final = {
    "run_done": RunStatus.DONE,
    "run_failed": RunStatus.FAILED,
    "run_cancelled": RunStatus.CANCELLED,
}
"""The events that end a run, with the status after them."""

GAP: Final = "gap"

OPTIONAL: Final = frozenset(
    {"at", "batch", "ctx", "limits", "nodes", "signal", "took_ms", "window"}
)
"""The optional fields of events; they come last."""

OUTCOMES: Final = frozenset({"passed", "blocked", "failed", "timed_out", "retry"})
"""The events that end an attempt of a live worker."""

MOST_INPUT: Final = 16 * 1024
"""The bytes of a failed attempt's input that the journal keeps."""
LARGEST_ENTRY: Final = 64 << 20
LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, the latest time of Python and of databases."""
LARGEST_NUMBER: Final = (1 << 31) - 1
LONGEST_ADDRESS: Final = 2000
"""Characters of an address; databases index no longer ones."""

_NUMBERS: Final = frozenset(
    {
        "attempt", "batch", "first", "hi", "lane", "lo", "lost", "nodes", "size", "upto",
        "window",
    }
)  # fmt: skip
_TIMES: Final = frozenset({"deadline_ms", "delay_ms", "took_ms"})
# The `run_failed` of a run that was ended from outside has only a text.
_LEAST: Final = {kind: len(set(names) - OPTIONAL) for kind, names in FIELDS.items()} | {
    "run_failed": 1
}

Event = list[Any]


class BadEntry(ValueError):
    """A journal entry is invalid; the text says why."""


class Content(NamedTuple):
    """The content of an entry: its events, who wrote them, and where in the run.

    `addr` is empty where the whole run is meant. `settled` counts the lanes that the entry
    of a batch settles; it is -1 in any other entry. `outputs` are the references to what
    the transition kept in the store of outputs: id, sha256, size, depth and preview. The
    values of `passed` events have a reference as an object whose one key is `mark`.
    """

    events: list[Event]
    worker: str = ""
    addr: str = ""
    seq: int = 0
    settled: int = -1
    mark: str = ""
    outputs: Sequence[OutputRef] = ()

    def chain_at(self, place: str) -> str:
        """Return the address of the chain at a place, at which this has an event.

        The entry of a batch has the address of its chord; the place names the lane.
        """
        return lane_at(self.addr, lane_of(place)) if is_chord(self.addr) else self.addr


def pack_entry(
    addr: str,
    seq: int,
    who: str,
    events: list[Event],
    settled: int = -1,
    *,
    mark: str = "",
    outputs: Sequence[OutputRef] = (),
) -> bytes:
    """Return an entry: `a` chain address, `s` sequence number, `w` worker, `e` events.

    That of a batch has the address of its chord, its first lane as `s`, and as `l` how
    many lanes it settles. Where the transition kept values elsewhere, `o` has their
    references and `m` the mark under which the values of `passed` events have them.
    """
    entry: dict[str, Any] = {"a": addr, "s": seq, "w": who, "e": events}
    if settled >= 0:
        entry["l"] = settled
    if outputs:
        entry["m"], entry["o"] = mark, outputs
    return orjson.dumps(entry)


def read_entry(entry: JournalEntry) -> Content:
    """Return the content of an entry, or raise BadEntry."""
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
    content = _read(entry.data)
    if any(event[0] == GAP for event in content.events):
        raise BadEntry("only the archive writes events of the kind 'gap'")
    return content


def archived_entry(data: bytes) -> Content:
    """Return the content of an archived entry; without events if it can't be read."""
    try:
        return _read(data)
    except BadEntry:
        return Content([])


def shown_events(content: Content) -> list[Event]:
    """Return the events of an entry for people: a reference is shown as `$output`."""
    if not content.mark:
        return content.events
    return [
        [_shown_outputs(part, content.mark) for part in event]
        if event[0] == "passed"
        else event
        for event in content.events
    ]


def _shown_outputs(value: Any, mark: str) -> Any:
    if isinstance(value, list):
        return [_shown_outputs(part, mark) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and mark in value:
        return {"$output": value[mark]}
    return {key: _shown_outputs(part, mark) for key, part in value.items()}


def _read(packed: bytes) -> Content:
    try:
        data = orjson.loads(packed)
    except orjson.JSONDecodeError as error:
        raise BadEntry(f"not JSON: {ascii(str(error))[:80]}") from None
    if not isinstance(data, dict) or not isinstance(data.get("e"), list):
        raise BadEntry("not an object with a list of events")
    worker, addr = data.get("w", ""), data.get("a", "")
    if not isinstance(worker, str):
        raise BadEntry("its worker is no text")
    if not isinstance(addr, str) or not _is_address(addr):
        raise BadEntry("its address is none of a chain, chord or batch")
    seq, settled = data.get("s", 0), data.get("l", -1)
    if not (type(seq) is int and type(settled) is int):
        raise BadEntry("its sequence number is no number")
    for event in data["e"]:
        _check(event)
    mark, outputs = data.get("m", ""), data.get("o", ())
    if not isinstance(mark, str) or not all(map(is_output_ref, outputs)):
        raise BadEntry("its mark is no text, or one of its outputs no reference")
    return Content(data["e"], worker, addr, seq, settled, mark, outputs)


def _is_address(text: str) -> bool:
    return len(text) <= LONGEST_ADDRESS and text.isascii() and text.isprintable()


def gap_of(upto: int, why: str) -> Event:
    """Return the event of entries up to a number that the archive does not have."""
    return [GAP, upto, why]


def gaps_in(content: Content) -> list[tuple[int, str]]:
    """Return the gaps that an archived entry names: up to which number, and why."""
    return [(event[1], event[2]) for event in content.events if event[0] == GAP]


def _check(event: Any) -> None:
    kind = event[0] if isinstance(event, list) and event else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise BadEntry(f"an event of unknown kind: {_shown(kind)}")
    if len(event) <= _LEAST[kind]:
        raise BadEntry(f"an event {kind!r} that lacks fields")
    for name, value in zip(FIELDS[kind], event[1:], strict=False):
        if not _fits(name, value):
            raise BadEntry(f"an event {kind!r} whose {name} is {_shown(value)}")


def _shown(value: Any) -> str:
    try:
        return ascii(value)[:40]
    except RecursionError:
        return "nested too deeply"


def _fits(name: str, value: Any) -> bool:
    if name in _NUMBERS:
        return type(value) is int and -1 <= value <= LARGEST_NUMBER
    if name in _TIMES:
        return type(value) is int and -1 <= value <= LAST_MS
    match name:
        case "value":
            return True
        case "stats" | "limits" | "signal":
            return isinstance(value, dict)
        case "events":
            return isinstance(value, list) and all(map(is_wire, value))
    return isinstance(value, str)


def discards(events: list[Event]) -> list[Event]:
    """Return the `discarded` events for the outcomes among these events."""
    return [
        ["discarded", event[1], event[2], event[0]]
        for event in events
        if event[0] in OUTCOMES
    ]


def took_ms(event: Event) -> int:
    """Return the `took_ms` of an outcome, 0 where it has none."""
    fields = FIELDS.get(event[0], ())
    has_time = len(event) > len(fields) and fields[-1:] == ("took_ms",)
    return max(0, event[-1]) if has_time else 0
