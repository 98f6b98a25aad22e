"""Streams that are full, closed or gone, and their texts."""

import errno
import io
import json
import os
import sys

import pytest
from django.core.management import CommandError

from blueprints.command_line import REFUSED, SwarmCommand
from blueprints.terminal import Output


class Full(io.StringIO):
    """A stream that can't be written."""

    code = errno.ENOSPC

    def flush(self) -> None:
        raise OSError(self.code, os.strerror(self.code))


class Closed(Full):
    """A pipe without a reader."""

    code = errno.EPIPE


def test_texts_are_made_visible_and_drawings_are_unchanged() -> None:
    out = io.StringIO()
    output = Output(out)
    assert Output.of(output) is output
    print("a\x1b[2Jb", file=output)
    output.writelines(["\x9b", "\n"])
    output.raw_stream.write("\x1b[1m")
    output.write(json.dumps(["\u202e"], ensure_ascii=False))
    assert out.getvalue() == 'a\\x1b[2Jb\n\\u009b\n\x1b[1m["\\u202e"]'


def test_what_can_not_be_written_is_dropped() -> None:
    output = Output(Full())
    output.write("one")
    output.flush()
    assert output.fault == "No space left on device"
    output.write("two")
    output.flush()
    assert output._stream.getvalue() == "one"


def test_a_stream_that_failed_does_not_fail_again_at_its_end() -> None:
    with open("/dev/full", "w") as full:
        output = Output(full)
        output.write("x")
        output.flush()
        assert isinstance(output.error, OSError)
    # Closing it wrote what was buffered, and raised nothing.


class Talks(SwarmCommand):
    """A command that prints a line, and its end."""

    def handle(self, *args: object, **options: object) -> None:
        print("said")
        if self.ends is not None:
            raise self.ends

    ends: BaseException | None = None


@pytest.mark.parametrize(
    ("stream", "ends", "code", "text"),
    [
        (Full, None, REFUSED, "standard output can't be written: No space left"),
        (Full, SystemExit(0), REFUSED, "standard output can't be written"),
        (Full, SystemExit(1), 1, "standard output can't be written"),
        (Closed, None, 0, ""),
        (Closed, SystemExit(1), 1, ""),
        (io.StringIO, CommandError("no \x1b[2J", returncode=2), 2, r"no \x1b[2J"),
    ],
)
def test_a_command_without_a_reader_reports_it_and_ends(
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
    ends: BaseException | None,
    code: int,
    text: str,
) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream())
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(Talks, "ends", ends)
    try:
        Talks().run_from_argv(["manage.py", "talks"])
        ended: object = 0
    except SystemExit as error:
        ended = error.code or 0
    assert ended == code
    assert text in err.getvalue()
    assert bool(text) == bool(err.getvalue())
