"""The kind python_fn: a registered Python function, called in the worker's process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import replace
from multiprocessing import active_children
from types import CoroutineType
from typing import Any

from django.conf import settings

from blueprints.agent_modules import (
    OWN,
    FunctionRefused,
    broken_modules,
    function_at,
)
from blueprints.spawner import KindSpawner, need
from engine.agent_inputs import function_faults, given_to, signature_of
from engine.agents import (
    AgentFailed,
    AgentFunction,
    AgentStep,
    CallRefused,
    failure_of,
    find_function,
    outcome_of,
    registered,
)
from engine.blueprint import Agent, Diagnostic
from engine.blueprint.analysis.signatures import Signature
from engine.flow.spelling import hint_at
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome, timed_out
from engine.run.journal.outputs import Log
from workers.process.alarm import TimeIsUp, set_alarm, stop_alarm
from workers.process.descriptors import check_descriptors, remember_descriptors
from workers.process.forks import end_fork
from workers.spawners.step_log import PrintingToLog, attach, running
from workers.spawners.tracebacks import agent_traceback, raised_at

logger = logging.getLogger(__name__)

UNKNOWN_FUNCTION = "unknown-function"
UNUSABLE = "the module of {!r} can't be used"
CLOSED = (
    "agent %r has closed descriptors that it did not open, of its worker's process: the"
    " process is replaced after this step; have the function close its own files only"
)
ASYNC_GRACE_S = 1.0
"""How long after its timeout an async function that blocks the loop is interrupted."""


class PythonFunctionSpawner(KindSpawner):
    """Calls registered functions, in the main thread of a process only.

    There an alarm ends a function at its timeout. The keeper kills the process of a
    function that catches the alarm or keeps the GIL two seconds later.
    """

    in_process = True
    debuggable = True
    pools_refused = {
        "threads": "in a threads pool nothing can end a Python function at its timeout:"
        " leave --pool out or choose prefork"
    }

    @classmethod
    def prepare(cls) -> Iterator[str]:
        """Import the agent modules; yield the faults of modules and functions."""
        yield from broken_modules().values()
        for name, fault in function_faults().items():
            yield f"{name}: {fault}"

    @classmethod
    def missing(cls, agents: Iterable[tuple[str, Agent]]) -> Iterator[Diagnostic]:
        """Yield the functions that can't be found; each fault of a module once."""
        # Workers run in the caller's directory and find modules there, too.
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        told: dict[str, str] = {}
        for place, agent in agents:
            at = f"{place}.spec.{'fn' if agent.spec.get('fn') else 'fn_id'}"
            try:
                # The output of a module must not mix with the JSON of a command.
                with contextlib.redirect_stdout(sys.stderr):
                    _find(agent)
            except FunctionRefused as error:
                text, hint = error.text, error.hint
                if error.module and (first := told.setdefault(error.module, at)) != at:
                    text, hint = UNUSABLE.format(_name(agent)), f"see {first}"
                yield need(at, UNKNOWN_FUNCTION, text, hint, agent)

    @classmethod
    def functions(cls, agent: Agent) -> Iterator[tuple[str, str]]:
        """Yield the agent's function with its module, if it can be found here."""
        with contextlib.suppress(FunctionRefused):
            yield _name(agent), _find(agent).module

    @classmethod
    def signature(cls, agent: Agent) -> Signature | None:
        """Return what the parameters of an agent's function take."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                return signature_of(_find(agent))
        except FunctionRefused:
            return None

    def __init__(self) -> None:
        """Attach the step's log to agent modules and remember what this process has."""
        attach(settings.SWARM_AGENT_MODULES)
        remember_descriptors()
        self._kept = active_children()
        self._printing = PrintingToLog()

    def run(self, call: StepCall) -> Outcome:
        """Call the agent's function once; raises only KeyboardInterrupt, for `interrupts`.

        A process that the function forks ends here, and so does each that it has started
        with multiprocessing.
        """
        if threading.get_ident() != threading.main_thread().ident:
            return failure_of(CallRefused(NO_ALARM))
        worker_pid, step = os.getpid(), AgentStep(call, call.emit)
        try:
            try:
                with self._printing:
                    value = _call(call, step)
            finally:
                end_fork(worker_pid)
                stop_alarm()
                running.emit = None
        except BaseException as error:
            if isinstance(error, self.interrupts) or (
                self.interrupts and _left_debugger(error)
            ):
                raise KeyboardInterrupt from None
            return _failure(error, step)
        finally:
            if check_descriptors():
                logger.warning(CLOSED, call.agent.name)
            for child in active_children():
                if child not in self._kept:
                    child.kill()
                    child.join()
        return outcome_of(value)


def _left_debugger(error: BaseException) -> bool:
    """Return whether a debugger itself has raised SystemExit, as its `q` may do."""
    if not isinstance(error, SystemExit):
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") in ("bdb", "pdb")


NO_ALARM = (
    "in this worker's pool nothing can end a Python function at its timeout, so none is"
    " called: start the worker with `--pool prefork` or `--pool solo`"
)


def _call(call: StepCall, step: AgentStep) -> Any:
    """Call the function under an alarm, its log captured; raises CallRefused."""
    try:
        found = _find(call.agent)
    except FunctionRefused as error:
        raise CallRefused(str(error)) from None
    value = given_to(found, _name(call.agent), call.input)
    running.emit = step.emit
    if found.is_async:
        set_alarm(step.timeout_s + ASYNC_GRACE_S)
        return asyncio.run(_bounded(found.call(value, step), step.timeout_s))
    set_alarm(step.timeout_s)
    value = found.call(value, step)
    # A decorator may hide that a function is async.
    if type(value) is CoroutineType:
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        set_alarm(left + ASYNC_GRACE_S)
        return asyncio.run(_bounded(value, left))
    return value


def _failure(error: BaseException, step: AgentStep) -> Outcome:
    """Return the outcome of a call that raised; SystemExit must not end the worker."""
    if isinstance(error, TimeIsUp):
        # It may have rung before the timer was stopped, and would ring again.
        stop_alarm()
        ended = timed_out(round(step.timeout_s * 1000))
        return replace(ended, traceback=agent_traceback(error))
    failure = failure_of(error)
    if isinstance(error, CallRefused):
        return failure
    where = "" if isinstance(error, AgentFailed) else raised_at(error)
    if where:
        step.emit(Log(where))
    return replace(failure, traceback=agent_traceback(error))


async def _bounded(coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """Await a function's coroutine; raises TimeIsUp after some seconds."""
    scope, worker_pid = asyncio.timeout(seconds), os.getpid()
    try:
        async with scope:
            return await coroutine
    except TimeoutError as late:
        if scope.expired():
            raise TimeIsUp from late
        raise
    finally:
        # A fork that closed its copy of the loop would break the worker's loop.
        end_fork(worker_pid)


def _name(agent: Agent) -> str:
    """Return the path or the registered name of an agent's function."""
    return str(agent.spec.get("fn") or agent.spec.get("fn_id", ""))


def _find(agent: Agent) -> AgentFunction:
    """Return the function of an agent; raise FunctionRefused."""
    name = _name(agent)
    if agent.spec.get("fn"):
        return function_at(name)
    found = find_function(name)
    if found is None:
        # A module that was broken at the start may have been corrected since.
        broken = broken_modules()
        found = find_function(name)
        if found is None:
            raise _unknown(name, broken)
    return found


def _unknown(name: str, broken: dict[str, str]) -> FunctionRefused:
    text = f"no agent function is named {name!r}"
    faults = "; ".join(broken.values())
    if near := hint_at(name, registered()):
        # The name may be right, and its module broken.
        return FunctionRefused(text, "; ".join(filter(None, (near, faults))))
    if broken:
        return FunctionRefused(text, faults, module=", ".join(broken))
    listed = ", ".join(settings.SWARM_AGENT_MODULES)
    own = os.path.join(settings.SWARM_PROJECT_DIR, f"{OWN}.py")
    hint = f"is its module in SWARM_AGENT_MODULES ({listed}), or is it in {own}?"
    return FunctionRefused(text, hint)
