"""The three ways in which a child streams output events, read as the bytes come.

A frame that is no output event is skipped and logged. Where the framing itself is lost,
the rest of the stream can't be read, and FrameLost names the place.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from engine.flow.json_text import JsonTextError, load_json
from engine.run.journal.outputs import (
    LONGEST_LINE,
    LONGEST_NAME,
    SHOWN,
    Artifact,
    Log,
    OutputEvent,
    Partial,
    Progress,
    cut,
    name_fault,
)
from engine.run.journal.outputs import Final as FinalEvent
from workers.process.given_files import FileRefused, GivenFile, GivenFiles

MAX_FRAME: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct("!I")


class FrameLost(Exception):
    """The stream can't be read on; the text names the frame and the byte."""


class NotAnEvent(ValueError):
    """A frame contains no output event; the text says why."""


class PartRefused(NotAnEvent):
    """An artifact has an invalid name; without it the result would be incomplete."""


class NdjsonLines:
    """One event a line; blank lines are ignored."""

    word = "line"
    """The noun for a frame in messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each line without its end, also blank ones, which count as lines."""
        start = len(self._rest)
        self._rest += data
        taken = 0
        while (at := self._rest.find(b"\n", max(start, taken))) >= 0:
            yield bytes(self._rest[taken:at])
            taken = at + 1
        del self._rest[:taken]

    def end(self) -> Iterator[bytes]:
        """Yield a last line that has no line end."""
        if self._rest:
            yield bytes(self._rest)


class SseEvents:
    """Server-sent events: `data:` lines up to a blank line, joined by newlines.

    Other fields and comments are ignored. The end of the stream ends an event, too.
    """

    word = "event"

    def __init__(self) -> None:
        self._lines = NdjsonLines()
        self._data: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the data of each event that a blank line ended."""
        for line in self._lines.feed(data):
            yield from self._line(line)

    def end(self) -> Iterator[bytes]:
        """Yield the data of an event that only the end of the stream ended."""
        for line in (*self._lines.end(), b""):
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[bytes]:
        line = line.removesuffix(b"\r")
        if not line:
            data, self._data = self._data, None
            if data is not None:
                yield bytes(data)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            if self._data is None:
                self._data = bytearray()
            else:
                self._data += b"\n"
            self._data += value.removeprefix(b" ")


class LengthPrefixed:
    """Four bytes of length, most significant first, then so many bytes of JSON."""

    word = "frame"

    def __init__(self) -> None:
        self._rest = bytearray()
        self._count = 0
        self._at = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each frame that is complete."""
        self._rest += data
        taken = 0
        while len(self._rest) - taken >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._rest, taken)
            if not 0 < size <= MAX_FRAME:
                raise FrameLost(
                    f"frame {self._count + 1} at byte {self._at} has a length of {size}"
                    f" bytes, which must be 1 to {MAX_FRAME}"
                )
            end = taken + _LENGTH.size + size
            if end > len(self._rest):
                break
            self._count += 1
            self._at += _LENGTH.size + size
            yield bytes(self._rest[taken + _LENGTH.size : end])
            taken = end
        del self._rest[:taken]

    def end(self) -> Iterator[bytes]:
        """Yield nothing; raises FrameLost for a frame that was cut off."""
        if self._rest:
            raise FrameLost(
                f"frame {self._count + 1} at byte {self._at} was cut off: the output"
                f" ended after {len(self._rest)} bytes of it"
            )
        yield from ()


FRAMINGS: Final[
    dict[str, type[NdjsonLines] | type[SseEvents] | type[LengthPrefixed]]
] = {
    "ndjson_lines": NdjsonLines,
    "sse_events": SseEvents,
    "length_prefixed": LengthPrefixed,
}


class EventReader:
    """Reads a child's stream: emits events as they come, and keeps the finals."""

    def __init__(
        self, mode: str, emit: Callable[[OutputEvent], None], files: GivenFiles
    ) -> None:
        """Start at the beginning of a stream in this mode; `files` reads the files it gives."""
        self._files = files
        self._framing = FRAMINGS[mode]()
        self._emit = emit
        self._count = 0
        self.events = 0
        self.finals: deque[FinalEvent] = deque(maxlen=MOST_FINALS)
        """The last finals, not emitted yet: they count only with a good exit code."""
        self.refused = ""
        """Why a part of the result was refused, empty while none was."""
        self.broken: list[str] = []
        """The faults of the first frames that were skipped."""
        self.skipped = 0
        self.lost = ""
        """Why the stream can't be read on, empty while it can."""
        self.cut_off = False
        """Whether the stream was lost only at its end, in the middle of a frame."""

    def feed(self, data: bytes) -> None:
        """Read some output of the child; never raises."""
        if not self.lost:
            self._take(self._framing.feed(data))

    def end(self) -> None:
        """Read the end of the stream; never raises."""
        if not self.lost:
            self._take(self._framing.end())
            self.cut_off = bool(self.lost)

    def _take(self, frames: Iterator[bytes]) -> None:
        try:
            for frame in frames:
                self._count += 1
                if frame.strip():
                    self._frame(frame)
        except FrameLost as error:
            self.lost = str(error)

    def _frame(self, frame: bytes) -> None:
        try:
            event = self._with_file(read_event(frame))
        except NotAnEvent as error:
            self.skipped += 1
            place = f"{self._framing.word} {self._count}"
            text = f"{place} is no output event and was skipped: {error}"
            # The fault may quote a whole frame.
            text = cut(text, LONGEST_LINE)
            if isinstance(error, PartRefused):
                self.refused = self.refused or f"{place}: {error}"
            if len(self.broken) < MOST_BROKEN:
                self.broken.append(text)
                self._emit(Log(text))
            return
        self.events += 1
        if isinstance(event, FinalEvent):
            self.finals.append(event)
        else:
            self._emit(event)

    def _with_file(self, event: OutputEvent) -> OutputEvent:
        """Return an event, with the file that it gives in the store of outputs."""
        if not isinstance(event, Artifact | FinalEvent):
            return event
        if not isinstance(event.content, GivenFile):
            return event
        try:
            return replace(event, content=self._files.take(event.content))
        except FileRefused as error:
            raise PartRefused(str(error)) from None


MOST_FINALS: Final = 20
"""How many of a stream's last finals reach the journal."""
MOST_BROKEN: Final = 20
"""How many skipped frames are logged, so that they can't fill the journal."""


def read_event(frame: bytes) -> OutputEvent:
    """Return the output event in a frame; raises NotAnEvent.

    The wire form is the reference's, an object tagged by `type`; the type `log` and the
    field `by` of a final, its author, are ours.
    """
    try:
        event = load_json(frame.strip())
    except JsonTextError as error:
        raise NotAnEvent(f"not JSON: {error}") from None
    if not isinstance(event, dict):
        raise NotAnEvent("expected an object with 'type'")
    match event.get("type"):
        case "progress":
            fields = _fields(event, {"stage": str}, {"note": str})
            return Progress(fields["stage"], fields.get("note") or "")
        case "partial":
            chunk = _fields(event, {"chunk": dict})["chunk"]
            content = _content(chunk, "chunk")
            return Partial(chunk if isinstance(content, GivenFile) else content)
        case "artifact":
            fields = _fields(event, {"name": str, "content": dict})
            fault = name_fault(fields["name"])
            if fault:
                raise PartRefused(fault)
            return Artifact(fields["name"], _content(fields["content"], "content"))
        case "final":
            fields = _fields(event, {"content": dict}, {"ok": bool, "by": str})
            ok, by = fields.get("ok"), fields.get("by") or ""
            content = _content(fields["content"], "content")
            return FinalEvent(content, ok is not False, cut(by, LONGEST_NAME))
        case "log":
            return Log(_fields(event, {"text": str})["text"])
        case other:
            raise NotAnEvent(
                f"type is {cut(repr(other), SHOWN)}; it must be progress, partial,"
                " artifact, final or log"
            )


_WORDS: Final = {str: "a string", dict: "an object", bool: "true or false"}


def _fields(
    event: dict[str, Any],
    needed: dict[str, type],
    optional: dict[str, type] | None = None,
) -> dict[str, Any]:
    """Check an event's fields and return it; an optional one may be null."""
    optional = optional or {}
    for name in event:
        if name != "type" and name not in needed and name not in optional:
            known = ", ".join([*needed, *optional])
            shown = cut(repr(name), SHOWN)
            raise NotAnEvent(f"unknown field {shown}; known: {known}")
    for name, kind in (needed | optional).items():
        if name not in event or (name in optional and event[name] is None):
            if name in needed:
                raise NotAnEvent(f"missing field '{name}'")
        elif not isinstance(event[name], kind):
            raise NotAnEvent(f"'{name}' must be {_WORDS[kind]}")
    return event


def _content(content: dict[str, Any], place: str) -> Any:
    """Return the value of a content, or the file that it names."""
    kind = content.get("kind")
    if kind == "inline" and content.keys() == {"kind", "value"}:
        return content["value"]
    if (
        kind == "file_ref"
        and isinstance(content.get("path"), str)
        and content.keys() <= {"kind", "path", "mime", "size_hint"}
        and isinstance(content.get("mime"), str | None)
        and isinstance(content.get("size_hint"), int | None)
    ):
        return GivenFile(content["path"], content.get("mime"), content.get("size_hint"))
    raise NotAnEvent(
        f'\'{place}\' must be {{"kind":"inline","value":…}} or'
        ' {"kind":"file_ref","path":…}'
    )
