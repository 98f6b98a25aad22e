"""The outputs that a journal entry tells of: finals, named parts and large values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.flow.path import swarm_segment
from engine.run.journal.entries import Content
from engine.store.base import JournalEntry

FINAL_CTX = "ctx"
"""The type of the event of a final Ctx that is too large for the row of its run."""
KEPT = "output"
"""The kind of a content that the store of outputs has."""


@dataclass(frozen=True, slots=True)
class OutputFound:
    """One output; `place` is empty where no step gave it.

    `event` is a final or an artifact in wire form, or `{"type": "value", "content"}` of a
    value that the flow has made, with the type `ctx` of a final Ctx. `at` in it is the
    path of a part of a larger result.
    """

    id: str
    place: str
    attempt: int
    agent: str
    event: dict[str, Any]


def outputs_of(entry: JournalEntry, content: Content) -> Iterator[OutputFound]:
    """Yield the outputs of an entry.

    Small results of steps are not among them: each is in the journal and nowhere else.
    """
    refs = {ref["id"]: ref for ref in content.outputs}
    for event in content.events:
        match event:
            case ["output", place, attempt, first, wires, *_]:
                for number, wire in enumerate(wires, first):
                    if wire["type"] in ("final", "artifact"):
                        text = f"{entry.run}/{entry.gen}/{place}/{attempt}/{number}"
                        yield OutputFound(_id(text), place, attempt, "", wire)
            case ["passed" | "blocked" as kind, place, attempt, agent, value, *_] if (
                refs
            ):
                for path, ref in _references(value, content.mark, "$"):
                    if refs.pop(ref["id"], None) is None:
                        continue
                    wire = _wire("final", ref) | {"ok": kind == "passed", "by": agent}
                    if path != "$":
                        wire["at"] = path
                    yield OutputFound(ref["id"], place, attempt, agent, wire)
    for ref in refs.values():
        yield OutputFound(ref["id"], "", 0, "", _wire("value", ref))


def final_ctx(ref: dict[str, Any]) -> OutputFound:
    """Return the output that is the final Ctx of a run."""
    return OutputFound(ref["id"], "", 0, "", _wire(FINAL_CTX, ref))


def _id(text: str) -> str:
    return f"out-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def _wire(type: str, ref: dict[str, Any]) -> dict[str, Any]:
    return {"type": type, "content": {"kind": KEPT, **ref}}


def _references(
    value: Any, mark: str, path: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the references in a value, each with its path."""
    if isinstance(value, dict):
        if len(value) == 1 and mark in value:
            yield path, value[mark]
            return
        for key, part in value.items():
            yield from _references(part, mark, path + swarm_segment(key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _references(part, mark, path + swarm_segment(index))
