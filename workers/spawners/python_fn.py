"""The kind python_fn: a registered Python function, called in the worker's process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

# The function below signal.getsignal, which spends 5 µs on looking for an enum.
from _signal import getsignal
from collections.abc import Coroutine
from dataclasses import dataclass
from multiprocessing import active_children
from types import CoroutineType, FrameType
from typing import Any

from django.conf import settings

from blueprints.agent_inputs import InputRefused
from blueprints.agents import (
    AgentFailed,
    AgentModuleBroken,
    Function,
    Step,
    find_prepared,
    load_modules,
    nearest_name,
)
from engine.ports import StepCall
from engine.run.outcomes import Outcome, timed_out
from engine.run.outputs import Log
from workers.process.descriptors import keep, look_after
from workers.process.forks import end_fork
from workers.spawners.raised import raised_at
from workers.spawners.step_log import attach, running

logger = logging.getLogger(__name__)

MAX_TEXT = 2000
CLOSED = (
    "agent %r has closed descriptors that it did not open, of its worker's process: the"
    " process is replaced after this step; have the function close its own files only"
)
ASYNC_GRACE_S = 1.0
"""How long after its timeout an async function that does not give way is interrupted."""


class _TimeIsUp(BaseException):
    """Raised inside a function whose time is up; no `except Exception` catches it."""


@dataclass(slots=True)
class _Alarm:
    """How often the alarm of the call at hand has waited for logging."""

    waits: int = 0


_alarm = _Alarm()


def _ring(signum: int, frame: FrameType | None) -> None:
    """End the call, once it is not inside of logging.

    An error raised between taking a handler's lock and noting that it is held would
    leave it held for ever: every other thread that logs would wait. Python's own locks
    have no way around that (python/cpython#74174).
    """
    if _alarm.waits < MOST_WAITS and _is_logging(frame):
        _alarm.waits += 1
        signal.setitimer(signal.ITIMER_REAL, WAIT_S, RING_AGAIN_S)
        return
    raise _TimeIsUp


def _is_logging(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == LOGGING:
            return True
        frame = frame.f_back
    return False


class PythonFunctionSpawner:
    """Calls registered functions, in the main thread of a process only.

    There an alarm ends a function at its timeout. One that catches the alarm or holds
    the GIL is killed by the keeper two seconds later.
    """

    in_process = True

    def __init__(self) -> None:
        """Hear what agent modules log."""
        attach(settings.SWARM_AGENT_MODULES)
        keep()

    def run(self, call: StepCall) -> Outcome:
        """Call the agent's function once; never raises.

        What the function forks never comes back from here, and what it started with
        multiprocessing ends with the call.
        """
        holder, before = os.getpid(), active_children()
        try:
            return self._run(call)
        finally:
            end_fork(holder)
            if look_after():
                logger.warning(CLOSED, call.agent.name)
            for child in active_children():
                if child not in before:
                    child.kill()
                    child.join()

    def _run(self, call: StepCall) -> Outcome:
        if threading.current_thread() is not threading.main_thread():
            return Outcome("failed", text=NO_ALARM, permanent=True)
        name = str(call.agent.spec.get("fn_id", ""))
        found = find_prepared(name)
        if found is None:
            # A module that was broken at the start may have been mended since.
            broken = _load_modules()
            found = find_prepared(name)
            if found is None:
                text = _short(broken or _unknown(name))
                return Outcome("failed", text=text, permanent=True)
        if found.fault:
            return Outcome("failed", text=_short(found.fault), permanent=True)
        value = call.input
        if found.check is not None:
            try:
                value = found.check(value)
            except InputRefused as error:
                text = _short(f"the input does not fit {name!r}: {error}")
                return Outcome(
                    "failed", text=text, permanent=True, error_type="InputRefused"
                )
        step = Step(
            call.run,
            call.place,
            call.step_id,
            call.agent.name,
            call.attempt,
            call.timeout_s,
            call.emit,
        )
        if found.is_async:
            return _timed(_to_its_end, (found.function, value), step, ASYNC_GRACE_S)
        return _timed(found.function, value, step, 0.0)


WAIT_S = 0.005
MOST_WAITS = 100
"""How often the alarm waits for logging to be done: half a second in all."""
LOGGING = logging.getLogger.__code__.co_filename
RING_AGAIN_S = 1.0
"""When an alarm rings again that a finalizer or a callback of the collector swallowed."""
NO_ALARM = (
    "in this worker's pool nothing can end a Python function at its timeout, so none is"
    " called: start the worker with `--pool prefork` or `--pool solo`"
)


def _timed(function: Function, value: Any, step: Step, grace_s: float) -> Outcome:
    """Call a function under an alarm, its log captured."""
    running.emit, holder = step.emit, os.getpid()
    try:
        try:
            _arm(step.timeout_s + grace_s)
            value = function(value, step=step)
            # A decorator may hide that a function is async.
            if type(value) is CoroutineType:
                value = _awaited(value)
        finally:
            end_fork(holder)
            signal.setitimer(signal.ITIMER_REAL, 0)
            running.emit = None
    except _TimeIsUp:
        # It may have rung before the timer was stopped above, and would ring again.
        signal.setitimer(signal.ITIMER_REAL, 0)
        return timed_out(round(step.timeout_s * 1000))
    except AgentFailed as error:
        return Outcome(
            "failed",
            text=_short(_text_of(error)),
            permanent=error.permanent,
            error_type="AgentFailed",
        )
    # SystemExit too: a function must not end the worker.
    except BaseException as error:
        where = raised_at(error)
        if where:
            step.emit(Log(where))
        kind = type(error).__name__
        said = _text_of(error)
        text = f"{kind}: {said}" if said else kind
        return Outcome("failed", text=_short(text), error_type=kind)
    ok = getattr(value, "ok", None)
    if ok is None or not hasattr(value, "value"):
        return Outcome("passed", value)
    return Outcome("blocked" if ok is False else "passed", value.value)


def _to_its_end(call: tuple[Function, Any], *, step: Step) -> Any:
    """Run an async function in an event loop of its own."""
    function, value = call
    return asyncio.run(_bounded(function(value, step=step), step.timeout_s))


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what a function turned out to return, in the time that is left."""
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    _arm(left + ASYNC_GRACE_S)
    return asyncio.run(_bounded(coroutine, left))


async def _bounded(coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
    scope, holder = asyncio.timeout(seconds), os.getpid()
    try:
        async with scope:
            return await coroutine
    except TimeoutError:
        if scope.expired():
            raise _TimeIsUp from None
        raise
    finally:
        # Here: closing its copy of the loop would break the loop of the other.
        end_fork(holder)


def _load_modules() -> str:
    """Load the agent modules; return what is wrong with them, empty for nothing."""
    try:
        load_modules(settings.SWARM_AGENT_MODULES)
    except AgentModuleBroken as error:
        return str(error)
    return ""


def _unknown(name: str) -> str:
    near = nearest_name(name)
    hint = (
        f"did you mean {near!r}?" if near else "is its module in SWARM_AGENT_MODULES?"
    )
    return f"no agent function is named {name!r}; {hint}"


def _arm(seconds: float) -> None:
    # Asking costs less than installing; a function or library may have installed its
    # own, and the default one would end the worker.
    if getsignal(signal.SIGALRM) is not _ring:
        signal.signal(signal.SIGALRM, _ring)
    _alarm.waits = 0
    signal.setitimer(signal.ITIMER_REAL, seconds, RING_AGAIN_S)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text can't be shown)"


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
