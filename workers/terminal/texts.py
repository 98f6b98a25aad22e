"""Short texts for people: durations, cut lines, stages and finals of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.run.journal.outputs import cut, shown_content
from engine.visible import visible

SHOWN_CONTENT: Final = 80

RUN_HELP: Final = "a run's id, the beginning of its id, or `latest`"


def stage_text(stage: str, note: str) -> str:
    """Return stage and note of a step in a few words."""
    return f"{stage}: {note}" if stage and note else stage or note


def final_text(wire: Mapping[str, Any]) -> str:
    """Return a final in a few words: who wrote it, `no` if it blocks, its beginning."""
    no = "" if wire.get("ok", True) else " (no)"
    return f"by {wire['by']}{no}: {shown_content(wire['content'], SHOWN_CONTENT)}"


def duration(seconds: float) -> str:
    """Return a duration with a unit that fits."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} d"


def clipped(text: str, most: int) -> str:
    """Return a line cut at `most` characters; its spaces stay."""
    return cut(visible(text).replace("\n", " "), most)


def one_line(text: str, most: int = 300) -> str:
    """Return a text on one line, cut if it is long."""
    return cut(" ".join(visible(text).split()), most)
