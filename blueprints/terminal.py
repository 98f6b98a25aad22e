"""Streams for commands: they show escape sequences as text and survive a closed pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO, cast

from engine.visible import visible


class Output:
    """A stream that makes control characters visible and ignores write errors.

    After an error all text is dropped, and `error` keeps the reason: a run must not fail
    because its output is not read.
    """

    def __init__(self, stream: Any) -> None:
        """Print to a stream."""
        self._stream = stream
        self.error: OSError | None = None
        self.reported = False
        """Whether standard error has a message about the lost output."""

    @classmethod
    def of(cls, stream: Any) -> Output:
        """Return the Output of a stream, or the stream if it is one."""
        return stream if isinstance(stream, Output) else cls(stream)

    @property
    def fault(self) -> str:
        """Why writing fails; empty while it works."""
        return "" if self.error is None else self.error.strerror or str(self.error)

    @property
    def raw_stream(self) -> TextIO:
        """The same stream for a caller that makes its texts visible itself."""
        return cast("TextIO", _RawStream(self))

    def write(self, text: str) -> int:
        """Write a text with its control characters made visible."""
        self.write_raw(visible(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write texts, which contain their line ends."""
        for text in texts:
            self.write(text)

    def print(self, *lines: str) -> None:
        """Write lines and flush them."""
        self.writelines(f"{line}\n" for line in lines)
        self.flush()

    def write_raw(self, text: str) -> None:
        """Write a text with its escape sequences."""
        self._survive(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Flush the stream."""
        self._survive(self._stream.flush)

    def _survive(self, write: Callable[[], Any]) -> None:
        if self.error is not None:
            return
        try:
            write()
        except OSError as error:
            self.error = error
            # Python flushes the buffer at exit, which would fail again.
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream."""
        return getattr(self._stream, name)


class _RawStream:
    """The stream of an Output, written as it is."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, text: str) -> int:
        self._output.write_raw(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


@contextlib.contextmanager
def visible_output() -> Iterator[None]:
    """Replace standard output and error of this process by Outputs."""
    out = contextlib.redirect_stdout(cast("TextIO", Output.of(sys.stdout)))
    with out, contextlib.redirect_stderr(cast("TextIO", Output.of(sys.stderr))):
        yield
