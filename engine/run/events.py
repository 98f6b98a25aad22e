"""Journal events: the closed set of what a transition can say, packed one entry each.

An entry is a JSON object: `a` chain address, `s` sequence number, `w` who, `e` events.
An event is an array that starts with its kind; this page names the fields of each.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "run_started": ("program_id", "deadline_ms"),
    "run_paused": (),
    "run_resumed": (),
    "run_done": (),
    "run_failed": ("kind", "text"),
    "run_cancelled": ("text",),
    # A step's life. `pending` also names its agent; `attempt` counts from 1. A lane of a
    # batch tells no `started`, but with its outcome how long it took.
    "pending": ("place", "agent"),
    "started": ("place", "attempt"),
    "passed": ("place", "attempt", "agent", "value", "took_ms"),
    "blocked": ("place", "attempt", "agent", "value", "took_ms"),
    "failed": ("place", "attempt", "agent", "text", "took_ms"),
    "timed_out": ("place", "attempt", "agent", "text", "took_ms"),
    "retry": ("place", "attempt", "agent", "text", "delay_ms", "reason", "took_ms"),
    "lost": ("place", "attempt", "lost"),
    "step_lost": ("place", "attempt", "agent", "text"),
    # What an attempt cost, however it ended: model, usage, num_turns.
    "stats": ("place", "attempt", "stats"),
    # A chord's life. `decided` names the lane that decided, -1 when all settled.
    "opened": ("place", "mode", "size"),
    "joined": ("place", "lane"),
    "lane_ended": ("place", "error"),
    "batch_broken": ("lo", "hi", "lane"),
    "checkpoint": ("place",),
    # What the runtime throws into a flow, such as a join that killed worker after worker.
    "raised": ("place", "kind", "text"),
    "discarded": ("place", "attempt", "outcome"),
    # What an attempt said while it worked: `events` in wire form (engine/run/outputs.py),
    # the first of them being number `first` of the attempt.
    "output": ("place", "attempt", "first", "events"),
}

OPTIONAL: Final = frozenset({"took_ms"})
"""Fields that an event may lack; they come last."""

Event = list[Any]

OUTCOMES: Final = frozenset({"passed", "blocked", "failed", "timed_out", "retry"})


def pack_entry(addr: str, seq: int, who: str, events: list[Event]) -> bytes:
    """Return a journal entry."""
    return orjson.dumps({"a": addr, "s": seq, "w": who, "e": events})


def discards(events: list[Event]) -> list[Event]:
    """Return what the journal says of outcomes that came too late to count."""
    return [
        ["discarded", event[1], event[2], event[0]]
        for event in events
        if event[0] in OUTCOMES
    ]


def took_ms(event: Event) -> int:
    """Return how long an attempt took whose beginning is in no journal, else 0."""
    fields = FIELDS.get(event[0], ())
    told = len(event) > len(fields) and fields[-1:] == ("took_ms",)
    return int(event[-1]) if told else 0


def named(event: Event) -> dict[str, Any]:
    """Return an event as a dict with its kind and the names of its fields."""
    kind = event[0]
    return {
        "kind": kind,
        **dict(zip(FIELDS.get(kind, ()), event[1:], strict=False)),
    }
