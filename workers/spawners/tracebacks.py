"""The traceback of an agent's own code, without frames of ours and without secrets."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

from blueprints.secrecy import without_secrets
from blueprints.written_code import OURS, is_written
from engine.agents import code_place
from engine.visible import visible

MOST: Final = 8 * 1024
"""The characters that are kept of a traceback: its beginning and, twice as long, its end."""


def agent_traceback(error: BaseException) -> str:
    """Return the traceback of an agent's exception, cut to MOST characters.

    It begins in the agent's own code; frames of the worker are left out everywhere, also
    in the exceptions that caused this one.
    """
    shown = traceback.TracebackException.from_exception(error)
    for one in _chain(shown):
        one.stack[:] = own_frames(one.stack)
    text = visible(without_secrets("".join(shown.format())))
    if len(text) <= MOST:
        return text
    left_out = f"\n… {len(text) - MOST} characters left out …\n"
    return text[: MOST // 3] + left_out + text[-(MOST - MOST // 3) :]


def raised_at(error: BaseException) -> str:
    """Return `raised at FILE:LINE in FUNCTION`, empty where no frame is known.

    The frame is the innermost one that the agent's author has written; without such a
    frame, the innermost one outside our own code.
    """
    frames = own_frames(traceback.extract_tb(error.__traceback__))
    found = [one for one in frames if is_written(one)] or frames
    if not found:
        return ""
    where = code_place(found[-1].filename, found[-1].lineno or 0)
    return f"raised at {where} in {found[-1].name}"


def own_frames(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Return the frames without ours, and without what Python runs before the agent."""
    first = next((n for n, one in enumerate(frames) if is_written(one)), 0)
    return [one for one in frames[first:] if not one.filename.startswith(OURS)]


def _chain(
    shown: traceback.TracebackException,
) -> Iterator[traceback.TracebackException]:
    """Yield an exception, those that caused it, and those in its group."""
    waiting = [shown]
    while waiting:
        one = waiting.pop()
        yield one
        linked = [one.__cause__, one.__context__, *(one.exceptions or ())]
        waiting += [each for each in linked if each is not None]
