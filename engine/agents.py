"""Agents that are Python functions: their decorator, exception, result and step.

A function is `fn(input, *, step) -> JSON` or `fn(input) -> JSON`, plain or async; one with
several parameters besides `step` gets the keys of its input by their names
(engine/agent_parameters.py). It is named by its path, or registered under a name.
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, overload

from engine.agent_names import agent_name
from engine.agent_parameters import Call, Function, Parameters, call_of, parameters_of
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome, as_json
from engine.run.journal.outputs import (
    Artifact,
    OutputEvent,
    Partial,
    Progress,
    cut,
    name_fault,
    no_output,
)

F = TypeVar("F", bound=Function)

MAX_TEXT = 2000
LIBRARIES: Final = tuple(
    f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "purelib", "platlib")
)
"""The folders of Python and of installed packages, which no agent's author has written."""

_functions: dict[str, AgentFunction] = {}


class AgentFailed(Exception):
    """The agent failed; with `permanent` the step is not retried."""

    def __init__(self, text: str, permanent: bool = False) -> None:
        """Keep the text of the failure."""
        super().__init__(text)
        self.permanent = permanent


class CallRefused(Exception):
    """The function can't be called; a retry would end the same way."""

    def __init__(self, text: str, error_type: str = "") -> None:
        """Keep the text of the failure and the type that its outcome has."""
        super().__init__(text)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class AgentResult:
    """The result of a function, in place of a bare value: `ok=False` blocks the step."""

    value: Any
    ok: bool = True


class AgentStep:
    """The step that a function is called for; its methods emit output events.

    `step_id` is the same for every attempt: pass it as idempotency key to every system
    that the function changes.
    """

    __slots__ = ("_call", "emit")

    def __init__(
        self, call: StepCall, emit: Callable[[OutputEvent], None] = no_output
    ) -> None:
        """Show an attempt to its function; without `emit` output events are dropped."""
        self._call = call
        self.emit = emit

    @property
    def run(self) -> str:
        """The id of the run."""
        return self._call.run

    @property
    def place(self) -> str:
        """The step's place in the run."""
        return self._call.place

    @property
    def step_id(self) -> str:
        """The idempotency key: one for all attempts."""
        return self._call.step_id

    @property
    def agent(self) -> str:
        """The name of the agent."""
        return self._call.agent.name

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._call.attempt

    @property
    def timeout_s(self) -> float:
        """The timeout of this attempt, in seconds."""
        return self._call.timeout_s

    def progress(self, stage: str, note: str = "") -> None:
        """Emit a stage and a note for people; long texts are cut."""
        self.emit(Progress(str(stage), str(note)))

    def partial(self, chunk: Any) -> None:
        """Emit a piece of the result; raise ValueError if it is no JSON."""
        self.emit(Partial(_json("a partial", chunk)))

    def artifact(self, name: str, content: Any) -> None:
        """Add a named part to the result; the last one of a name counts.

        Raise ValueError for a name that is blank or too long, or a content that is no
        JSON.
        """
        if fault := name_fault(name):
            raise ValueError(fault)
        self.emit(Artifact(name, _json(f"artifact {name!r}", content)))


def _json(what: str, value: Any) -> Any:
    try:
        return as_json(value).value
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


@dataclass(eq=False)
class AgentFunction:
    """A function, with its module and the place where it is registered or defined.

    `call` takes the input and the step, and passes what the function has parameters for.
    """

    function: Function
    module: str
    origin: str
    parameters: Parameters = field(init=False, repr=False)
    call: Call = field(init=False, repr=False)
    is_async: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look at the function now, so that a call need not."""
        self.parameters = parameters_of(self.function)
        self.call = call_of(self.function, self.parameters)
        self.is_async = inspect.iscoroutinefunction(self.function)


def outcome_of(answer: Any) -> Outcome:
    """Return the outcome of an attempt whose function has answered."""
    ok = getattr(answer, "ok", None)
    if ok is None or not hasattr(answer, "value"):
        return Outcome("passed", answer)
    return Outcome("blocked" if ok is False else "passed", answer.value)


def failure_of(error: BaseException) -> Outcome:
    """Return the outcome of an attempt whose function has raised."""
    if isinstance(error, CallRefused):
        text, error_type, permanent = str(error), error.error_type, True
    elif isinstance(error, AgentFailed):
        text, error_type, permanent = _text_of(error), "AgentFailed", error.permanent
    else:
        text, error_type, permanent = _text_of(error), type(error).__name__, False
        text = f"{error_type}: {text}" if text else error_type
    cut_text = cut(text, MAX_TEXT)
    return Outcome("failed", text=cut_text, permanent=permanent, error_type=error_type)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text can't be shown)"


def blocked(value: Any) -> AgentResult:
    """Return a result that blocks the step: its answer is no, and it is not retried."""
    return AgentResult(value, ok=False)


@overload
def agent_function(name: F) -> F: ...
@overload
def agent_function(name: str) -> Callable[[F], F]: ...
def agent_function(name: Any) -> Any:
    """Register a function under a name; raise ValueError if the name is taken.

    `@agent_function` without a name registers it as `module:function`.
    """
    if not isinstance(name, str):
        return _register(name, agent_name(name))
    return lambda fn: _register(fn, name)


def _register(fn: F, name: str) -> F:
    module, origin = _source(fn)
    other = _functions.get(name)
    if other is not None and (other.module, other.origin) != (module, origin):
        raise ValueError(
            f"agent function {name!r} is defined twice: {other.origin} and {origin}"
        )
    _functions[name] = AgentFunction(fn, module, origin)
    return fn


def _source(fn: Function) -> tuple[str, str]:
    # A callable object has no `__qualname__`.
    name = f"{fn.__module__}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"
    # The frame that calls the decorator.
    caller = sys._getframe(3)
    place = code_place(caller.f_code.co_filename, caller.f_lineno)
    return str(caller.f_globals.get("__name__")), f"{name} at {place}"


def code_place(file: str, line: int) -> str:
    """Return `file:line`, relative to the working directory for a file below it."""
    try:
        below = os.path.join(os.getcwd(), "")
    except OSError:
        # The working directory was removed.
        below = ""
    return f"{file.removeprefix(below)}:{line}"


@contextmanager
def registering() -> Iterator[None]:
    """Unregister all functions of the modules whose import fails in the block."""
    before = frozenset(_functions)
    try:
        yield
    except BaseException:
        for name in _functions.keys() - before:
            modules = {_functions[name].module, _functions[name].function.__module__}
            # A module that the failed one imported successfully stays registered.
            if not modules <= sys.modules.keys():
                del _functions[name]
        raise


def find_function(name: str) -> AgentFunction | None:
    """Return the function registered under a name."""
    return _functions.get(name)


def registered() -> dict[str, AgentFunction]:
    """Return all registered functions by name."""
    return dict(_functions)


@agent_function("identity")
def identity(value: Any, *, step: AgentStep) -> Any:
    """Return the input and the agent's name: an agent that is always registered."""
    return {"by": "baseline-identity", "agent": step.agent, "echoed": value}
