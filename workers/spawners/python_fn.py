"""The kind python_fn: a registered Python function, called in the worker's process."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from django.conf import settings

from blueprints.agents import (
    AgentFailed,
    AgentModuleBroken,
    Step,
    find_function,
    load_modules,
    nearest_name,
)
from engine.ports import StepCall
from engine.run.outcomes import Outcome, timed_out

MAX_TEXT = 2000


class _TimeIsUp(BaseException):
    """Raised inside a function whose time is up; no `except Exception` catches it."""


def _ring(signum: int, frame: FrameType | None) -> None:
    raise _TimeIsUp


class PythonFunctionSpawner:
    """Calls registered functions.

    In a main thread an alarm ends a function at its timeout. One that catches the
    alarm or holds the GIL is killed by the keeper two seconds later.
    """

    in_process = True

    def __init__(self) -> None:
        """Import nothing yet: a broken module is told to the step that needs it."""
        self._armed_in = 0

    def run(self, call: StepCall) -> Outcome:
        """Call the agent's function once; never raises."""
        name = str(call.agent.spec.get("fn_id", ""))
        function = find_function(name)
        if function is None:
            try:
                load_modules(settings.SWARM_AGENT_MODULES)
            except AgentModuleBroken as error:
                return Outcome("failed", text=_short(str(error)), permanent=True)
            function = find_function(name)
        if function is None:
            near = nearest_name(name)
            hint = f"; did you mean {near!r}?" if near else ""
            return Outcome(
                "failed",
                text=f"no agent function is named {name!r}{hint}",
                permanent=True,
            )
        step = Step(
            call.run,
            call.place,
            call.step_id,
            call.agent.name,
            call.attempt,
            call.timeout_s,
        )
        return self._timed(function, call, step)

    def _timed(self, function: Any, call: StepCall, step: Step) -> Outcome:
        alarm = threading.current_thread() is threading.main_thread()
        try:
            try:
                if alarm:
                    self._arm(call.timeout_s)
                value = function(call.input, step=step)
            finally:
                if alarm:
                    signal.setitimer(signal.ITIMER_REAL, 0)
        except _TimeIsUp:
            return timed_out(round(call.timeout_s * 1000))
        except AgentFailed as error:
            return Outcome(
                "failed",
                text=_short(str(error)),
                permanent=error.permanent,
                error_type="AgentFailed",
            )
        # SystemExit too: a function must not end the worker.
        except BaseException as error:
            kind = type(error).__name__
            text = f"{kind}: {error}" if str(error) else kind
            return Outcome("failed", text=_short(text), error_type=kind)
        if getattr(value, "ok", None) is False and hasattr(value, "value"):
            return Outcome("blocked", value.value)
        if getattr(value, "ok", None) is True and hasattr(value, "value"):
            value = value.value
        return Outcome("passed", value)

    def _arm(self, seconds: float) -> None:
        # The handler is installed once per process; a forked child starts anew.
        if self._armed_in != os.getpid():
            signal.signal(signal.SIGALRM, _ring)
            self._armed_in = os.getpid()
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
