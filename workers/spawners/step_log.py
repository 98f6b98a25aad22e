"""The step's log: copies the log records of agents into the journal.

Outside a call the handler reads one variable and returns.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from celery.utils.log import LoggingProxy

from engine.run.journal.outputs import LONGEST_LINE, Log, OutputEvent
from workers.spawners import PRINTED

Emit = Callable[[OutputEvent], None]

OURS = ("amqp", "billiard", "celery", "engine", "kombu", "redis", "workers")
"""Loggers of the worker itself, whose threads belong to no step."""


@dataclass(slots=True)
class Running:
    """The one step whose Python function runs in this process, if any.

    There is one because only the main thread calls functions. It is no context variable
    because the threads that a function starts do not inherit the context.
    """

    emit: Emit | None = None


running = Running()


def _after_fork() -> None:
    """Log nothing in a process that a function forked: the step belongs to the worker."""
    running.emit = None


os.register_at_fork(after_in_child=_after_fork)


class StepLog(logging.Handler):
    """Emits log records as events of the running step."""

    def createLock(self) -> None:
        """Create no lock: an alarm right after acquiring it would leave it locked for ever."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and emit a record; since Python 3.13 the base method requires a lock."""
        passed = self.filter(record)
        if isinstance(passed, logging.LogRecord):
            record = passed
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Emit a record to the running step, unless a thread of the worker logged it."""
        emit = running.emit
        if emit is None:
            return
        in_thread = record.thread != threading.main_thread().ident
        if in_thread and record.name.partition(".")[0] in OURS:
            return
        try:
            emit(Log(_line(record)))
        # A record that can't be formatted must not fail its step.
        except Exception:
            self.handleError(record)


class Printed(LoggingProxy):  # type: ignore[misc]
    """A stream that logs each line at INFO, such as the standard output of agents.

    A handler that writes to this stream again ends in LoggingProxy, which logs nothing
    while it logs.
    """

    def __init__(self) -> None:
        """Log to the logger of printed lines."""
        super().__init__(logging.getLogger(PRINTED), logging.INFO)
        self._line = ""

    def write(self, text: str) -> int:
        """Log the lines that are complete; keep the begun one."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            super().write(line)
        if len(self._line) > LONGEST_LINE:
            self.end()
        return len(text)

    def close(self) -> None:
        """Log the line that was begun; later steps of the process print, too."""
        self.end()

    def end(self) -> None:
        """Log the line that was begun."""
        if self._line:
            line, self._line = self._line, ""
            super().write(line)


class PrintingToLog:
    """Logs what is printed inside; a terminal gets it as it is, for a debugger.

    One serves all steps of a process, one after the other: each step enters it.
    """

    def __init__(self) -> None:
        """Make the stream; whether standard output is a terminal is asked once."""
        self._printed = Printed()
        self._outer: Any = None
        self._is_terminal = False

    def __enter__(self) -> None:
        """Redirect standard output."""
        # A step whose time ran out while it left may have left its redirection.
        if sys.stdout is not self._outer and sys.stdout is not self._printed:
            self._outer = sys.stdout
            self._is_terminal = sys.stdout.isatty()
        if not self._is_terminal:
            sys.stdout = self._printed

    def __exit__(self, *_: object) -> None:
        """Log the line that was begun, and restore standard output."""
        sys.stdout = self._outer
        self._printed.end()


_handler = StepLog()


def attach(modules: Iterable[str]) -> None:
    """Attach the handler to the loggers of these modules and to the root logger."""
    for name in ("", *modules):
        logger = logging.getLogger(name)
        while logger.propagate and logger.parent is not None:
            logger = logger.parent
        if _handler not in logger.handlers:
            logger.addHandler(_handler)


def _line(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.levelno >= logging.WARNING:
        text = f"{record.levelname} {text}"
    error = record.exc_info[1] if record.exc_info else None
    # Its type and text, no stack trace: people read the journal.
    return text if error is None else f"{text}: {type(error).__name__}: {error}"
