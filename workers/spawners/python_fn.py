"""The kind python_fn: a registered Python function, called in the worker's process."""

from __future__ import annotations

import signal
import threading

# The function below signal.getsignal, which spends 5 µs on looking for an enum.
from _signal import getsignal
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

    def run(self, call: StepCall) -> Outcome:
        """Call the agent's function once; never raises."""
        name = str(call.agent.spec.get("fn_id", ""))
        function = find_function(name)
        if function is None:
            # Not at the start: a broken module is told to the step that needs it.
            broken = _load_modules()
            function = find_function(name)
            if function is None:
                text = _short(broken or _unknown(name))
                return Outcome("failed", text=text, permanent=True)
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
                    _arm(call.timeout_s)
                value = function(call.input, step=step)
            finally:
                if alarm:
                    signal.setitimer(signal.ITIMER_REAL, 0)
        except _TimeIsUp:
            return timed_out(round(call.timeout_s * 1000))
        except AgentFailed as error:
            return Outcome(
                "failed",
                text=_short(_text_of(error)),
                permanent=error.permanent,
                error_type="AgentFailed",
            )
        # SystemExit too: a function must not end the worker.
        except BaseException as error:
            kind = type(error).__name__
            said = _text_of(error)
            text = f"{kind}: {said}" if said else kind
            return Outcome("failed", text=_short(text), error_type=kind)
        ok = getattr(value, "ok", None)
        if ok is None or not hasattr(value, "value"):
            return Outcome("passed", value)
        return Outcome("blocked" if ok is False else "passed", value.value)


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
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text can't be shown)"


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
