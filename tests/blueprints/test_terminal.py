"""Streams that are full, closed or gone, and what is said through them."""

import errno
import io
import json
import os
import sys

import pytest
from django.core.management import CommandError

from blueprints.command_line import USAGE, SwarmCommand
from blueprints.terminal import Mouth


class Full(io.StringIO):
    """A stream that can't be written."""

    code = errno.ENOSPC

    def flush(self) -> None:
        raise OSError(self.code, os.strerror(self.code))


class Closed(Full):
    """A pipe that nobody reads."""

    code = errno.EPIPE


def test_what_is_said_is_visible_and_what_is_drawn_is_not_touched() -> None:
    out = io.StringIO()
    mouth = Mouth(out)
    assert Mouth.over(mouth) is mouth
    print("a\x1b[2Jb", file=mouth)
    mouth.writelines(["\x9b", "\n"])
    mouth.drawn.write("\x1b[1m")
    mouth.write(json.dumps(["\u202e"], ensure_ascii=False))
    assert out.getvalue() == 'a\\x1b[2Jb\n\\u009b\n\x1b[1m["\\u202e"]'


def test_what_can_not_be_written_is_dropped() -> None:
    mouth = Mouth(Full())
    mouth.write("one")
    mouth.flush()
    assert mouth.unread == "No space left on device"
    mouth.write("two")
    mouth.flush()
    assert mouth._stream.getvalue() == "one"


def test_a_stream_that_failed_does_not_fail_again_at_its_end() -> None:
    with open("/dev/full", "w") as full:
        mouth = Mouth(full)
        mouth.write("x")
        mouth.flush()
        assert isinstance(mouth.lost, OSError)
    # Closing it wrote what was buffered, and raised nothing.


class Talks(SwarmCommand):
    """A command that says something, and how it ends."""

    def handle(self, *args: object, **options: object) -> None:
        print("said")
        if self.ends is not None:
            raise self.ends

    ends: BaseException | None = None


@pytest.mark.parametrize(
    ("stream", "ends", "code", "told"),
    [
        (Full, None, USAGE, "standard output can't be written: No space left"),
        (Full, SystemExit(0), USAGE, "standard output can't be written"),
        (Full, SystemExit(1), 1, "standard output can't be written"),
        (Closed, None, 0, ""),
        (Closed, SystemExit(1), 1, ""),
        (io.StringIO, CommandError("no \x1b[2J", returncode=2), 2, r"no \x1b[2J"),
    ],
)
def test_a_command_that_is_not_heard_says_so_and_ends(
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
    ends: BaseException | None,
    code: int,
    told: str,
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
    assert told in err.getvalue()
    assert bool(told) == bool(err.getvalue())
