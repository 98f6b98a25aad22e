"""What commands speak through: streams that show escapes as text and survive their end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, cast

from engine.visible import visible


class Mouth:
    """A stream that every text leaves visible, and that may be full, closed or gone.

    What can't be written any more is dropped, and `lost` says why: a run must not fail
    because nobody reads.
    """

    def __init__(self, stream: Any) -> None:
        """Speak through a stream."""
        self._stream = stream
        self.lost: OSError | None = None
        self.excused = False
        """Whether it was told that something is lost, and what to do."""

    @classmethod
    def over(cls, stream: Any) -> Mouth:
        """Return a stream's mouth, which it may be itself."""
        return stream if isinstance(stream, Mouth) else cls(stream)

    @property
    def unread(self) -> str:
        """Why what was said is not read, in words; empty while it is."""
        return "" if self.lost is None else self.lost.strerror or str(self.lost)

    @property
    def drawn(self) -> TextIO:
        """The same stream for one who draws, and makes every text visible by itself."""
        return cast("TextIO", _Drawn(self))

    def write(self, text: str) -> int:
        """Write a text as it can be seen."""
        self.draw(visible(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write texts, which have their line ends."""
        for text in texts:
            self.write(text)

    def draw(self, text: str) -> None:
        """Write a text that is made for a terminal to obey."""
        self._survive(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Hand over what was written."""
        self._survive(self._stream.flush)

    def _survive(self, say: Callable[[], Any]) -> None:
        if self.lost is not None:
            return
        try:
            say()
        except OSError as error:
            self.lost = error
            # What is buffered is written at the end, and would fail there again.
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)

    def __getattr__(self, name: str) -> Any:
        """Be like the stream in all else."""
        return getattr(self._stream, name)


class _Drawn:
    """A mouth's way for those who draw."""

    def __init__(self, mouth: Mouth) -> None:
        self._mouth = mouth

    def write(self, text: str) -> int:
        self._mouth.draw(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mouth, name)


@contextlib.contextmanager
def mouths() -> Iterator[None]:
    """Let everything in this process speak through mouths for a while."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", Mouth.over(sys.stdout))
    sys.stderr = cast("TextIO", Mouth.over(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
