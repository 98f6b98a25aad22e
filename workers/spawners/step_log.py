"""The step's log: what an agent logs with Python's logging goes into the journal too.

The handler is passive: outside a call it looks at one variable and is done.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine.run.outputs import Log, OutputEvent

Emit = Callable[[OutputEvent], None]

OURS = ("amqp", "billiard", "celery", "engine", "kombu", "redis", "workers")
"""Loggers of the worker itself, whose threads work for no step."""


@dataclass(slots=True)
class Running:
    """Takes the log of the one step whose Python function runs in this process.

    One, because only the main thread calls functions. No context variable: a thread
    that a function starts begins without a context.
    """

    emit: Emit | None = None


running = Running()


def _after_fork() -> None:
    """Take nothing from a process that a function forked: the step is not its own."""
    running.emit = None


os.register_at_fork(after_in_child=_after_fork)


class StepLog(logging.Handler):
    """Hands records to the step they belong to."""

    def createLock(self) -> None:
        """Have no lock: an alarm between taking and holding it would keep it for ever."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and emit a record; since Python 3.13 logging's own insists on a lock."""
        passed = self.filter(record)
        if isinstance(passed, logging.LogRecord):
            record = passed
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to the step that runs, if one does and it may be its."""
        take = running.emit
        if take is None:
            return
        in_thread = record.thread != threading.main_thread().ident
        if in_thread and record.name.partition(".")[0] in OURS:
            return
        try:
            take(Log(_line(record)))
        # A record that can't be formatted must not fail the step that logged it.
        except Exception:
            self.handleError(record)


_handler = StepLog()


def attach(modules: Iterable[str]) -> None:
    """Hear what these modules log, and all that reaches the root logger."""
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
    # Its type and text, no stack trace: the journal is read by people.
    return text if error is None else f"{text}: {type(error).__name__}: {error}"
