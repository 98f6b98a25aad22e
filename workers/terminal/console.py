"""A rich console that shows escape sequences in texts from outside as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from blueprints.terminal import Output
from engine.visible import visible


class VisibleConsole(Console):
    """A console that writes no escape sequences but its own."""

    def __init__(self, stream: Any, **how: Any) -> None:
        """Draw on a stream."""
        super().__init__(file=Output.of(stream).raw_stream, highlight=False, **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield segments; all but rich's own control codes are made visible."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible(text), style)
