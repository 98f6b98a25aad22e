"""The events of a journal as sentences for people."""

from __future__ import annotations

from typing import Any, Final

from engine.flow.json_text import dump_compact
from engine.flow.shortened import shortened
from engine.run.journal.entries import FIELDS, Event
from engine.run.place_names import PlaceNames

MOST: Final = 200
"""The characters that a sentence has of one value."""
SENTENCES: Final[dict[str, str]] = {
    "run_started": "The run started.",
    "run_paused": "The run was paused.",
    "run_resumed": "The run was resumed.",
    "run_done": "The run is done.",
    "run_failed": "The run failed: {text}",
    "run_cancelled": "The run was cancelled: {text}",
    "pending": "{step} waits for {agent}.",
    "started": "Attempt {attempt} of {step} started.",
    "postponed": "Attempt {attempt} of {step} waits for outputs that are away.",
    "passed": "Attempt {attempt} of {step} passed: {value}",
    "blocked": "Attempt {attempt} of {step} was blocked: {value}",
    "failed": "Attempt {attempt} of {step} failed: {text}",
    "timed_out": "Attempt {attempt} of {step} {text}.",
    "retry": "Attempt {attempt} of {step} failed, and another follows: {text}",
    "lost": "Attempt {attempt} of {step} was lost with its worker.",
    "step_lost": "{step} is lost: {text}",
    "details": "Attempt {attempt} of {step} got the input {input}",
    "stats": "Attempt {attempt} of {step} cost {stats}.",
    "opened": "The fanout {step} opened with {size} lanes ({mode}).",
    "joined": "The fanout {step} joined.",
    "lane_ended": "The lane {step} failed: {error}",
    "batch_broken": "The worker of the lanes {lo} to {hi} died in lane {lane}.",
    "checkpoint": "The flow was saved at {step}.",
    "raised": "{step} raised an error: {text}",
    "discarded": "A late end ({outcome}) of attempt {attempt} of {step} was discarded.",
    "output": "Attempt {attempt} of {step} has output: {events}",
    "gap": "The entries up to {upto} are missing: {text}.",
}
"""The sentence of each kind of event; `step` is the name of its place."""


class _Missing(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence(event: Event, names: PlaceNames) -> str:
    """Return an event as a sentence, with long values shortened."""
    kind = event[0]
    values = dict(zip(FIELDS.get(kind, ()), event[1:], strict=False))
    words = _Missing({name: _shown(value) for name, value in values.items()})
    place = values.get("place")
    if isinstance(place, str):
        words["step"] = names.name(place) or "the flow"
    return SENTENCES.get(kind, str(kind)).format_map(words)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else dump_compact(shortened(value))
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"
