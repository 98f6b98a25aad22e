"""A rich console that draws for people and shows the escapes of others as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from blueprints.terminal import Mouth
from engine.visible import visible


class VisibleConsole(Console):
    """Draws past the mouth of its stream: its own escapes are meant, no others are."""

    def __init__(self, stream: Any, **how: Any) -> None:
        """Draw on a stream."""
        super().__init__(file=Mouth.over(stream).drawn, highlight=False, **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the pieces of what is drawn; what is no control of ours is text."""
        for piece in super().render(renderable, options):
            text, style, control = piece
            yield piece if control else Segment(visible(text), style)
