"""Agents that are Python functions: the decorator, what a function may raise and return.

A function is `fn(input, *, step) -> JSON`, plain or async. It lives in a module that
settings.SWARM_AGENT_MODULES names.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from blueprints.agent_inputs import AnnotationUnusable, Check, input_check
from blueprints.code_places import code_place
from engine.run.outcomes import as_json
from engine.run.outputs import (
    Artifact,
    OutputEvent,
    Partial,
    Progress,
    name_fault,
    no_output,
)

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

_functions: dict[str, Function] = {}
_sources: dict[str, Source] = {}
_prepared: dict[str, Prepared] = {}
_loaded: set[str] = set()


class AgentFailed(Exception):
    """The agent could not do its step; `permanent` says that trying again is no use."""

    def __init__(self, text: str, permanent: bool = False) -> None:
        """Fail with a text for people."""
        super().__init__(text)
        self.permanent = permanent


class AgentModuleBroken(Exception):
    """Modules of SWARM_AGENT_MODULES can't be loaded; the text names each and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function may return instead of a bare value: `ok=False` is blocked."""

    value: Any
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """The step a function is called for.

    `step_id` is the same for every attempt: hand it on as idempotency key to whatever
    the function changes outside. What it says with the methods is seen while it works.
    """

    run: str
    place: str
    step_id: str
    agent: str
    attempt: int
    timeout_s: float
    emit: Callable[[OutputEvent], None] = field(
        default=no_output, repr=False, compare=False
    )

    def progress(self, stage: str, note: str = "") -> None:
        """Say how far it is: a stage and a note for people, cut where they are long."""
        self.emit(Progress(str(stage), str(note)))

    def partial(self, chunk: Any) -> None:
        """Show a piece of the result before the whole is there; ValueError if no JSON."""
        self.emit(Partial(_json("a partial", chunk)))

    def artifact(self, name: str, content: Any) -> None:
        """Add a named part to the result; the last of a name counts.

        Raises ValueError for a name that is blank or too long and for what is no JSON.
        """
        fault = name_fault(name)
        if fault:
            raise ValueError(fault)
        self.emit(Artifact(name, _json(f"artifact {name!r}", content)))


def _json(what: str, value: Any) -> Any:
    try:
        return as_json(value)[0]
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A function as it is called: `check` makes its input of a JSON value, if any does.

    `fault` says why it can't be called at all.
    """

    function: Function
    is_async: bool
    check: Check | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a function was registered: the module whose code did it, and the line."""

    module: str
    text: str


def blocked(value: Any) -> Outcome:
    """Return the outcome of a step that was answered with no: it is not tried again."""
    return Outcome(value, ok=False)


def agent_function(name: str) -> Callable[[F], F]:
    """Register a function as the agent function `name`; ValueError if that is taken."""

    def register(fn: F) -> F:
        source, other = _source(fn), _sources.get(name)
        if other is not None and other != source:
            raise ValueError(
                f"agent function {name!r} is defined twice:"
                f" {other.text} and {source.text}"
            )
        _functions[name], _sources[name] = fn, source
        _prepared.pop(name, None)
        return fn

    return register


def _source(fn: Function) -> Source:
    # An object that can be called has no name of its own.
    name = f"{fn.__module__}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"
    here = inspect.currentframe()
    caller = here.f_back.f_back if here and here.f_back else None
    if caller is None:
        return Source(fn.__module__, name)
    place = code_place(caller.f_code.co_filename, caller.f_lineno)
    return Source(str(caller.f_globals.get("__name__")), f"{name} at {place}")


def load_modules(modules: Iterable[str]) -> None:
    """Import modules of agent functions, each once; AgentModuleBroken names the bad.

    A broken module does not keep those after it from being loaded.
    """
    faults = broken_modules(modules)
    if faults:
        raise AgentModuleBroken("; ".join(faults.values()))


def broken_modules(modules: Iterable[str]) -> dict[str, str]:
    """Import modules of agent functions, each once; why by name for those that can't be.

    Nothing that a broken module registered stays: half a module must not serve.
    """
    faults = {}
    for module in modules:
        if module in _loaded:
            continue
        before = frozenset(_functions)
        try:
            importlib.import_module(module)
        # Importing runs any code at all, so anything may come out of it; a module that
        # asks Python to exit must not end the worker.
        except (Exception, SystemExit) as error:
            _forget(before)
            faults[module] = (
                f"the agent module {module!r} (SWARM_AGENT_MODULES) can't be imported:"
                f" {type(error).__name__}: {error}"
            )
            continue
        _loaded.add(module)
    return faults


def _forget(before: frozenset[str]) -> None:
    """Drop what modules registered that Python has thrown away again."""
    for name in _functions.keys() - before:
        modules = {_sources[name].module, _functions[name].__module__}
        # A sound module that the broken one imported stays, and is not imported again.
        if not modules <= sys.modules.keys():
            del _functions[name], _sources[name]
            _prepared.pop(name, None)


def find_prepared(name: str) -> Prepared | None:
    """Return the function registered under a name, ready to be called."""
    found = _prepared.get(name)
    if found is None and name in _functions:
        found = _prepared[name] = _prepare(_functions[name])
    return found


def _prepare(function: Function) -> Prepared:
    is_async = inspect.iscoroutinefunction(function)
    try:
        return Prepared(function, is_async, input_check(function))
    except AnnotationUnusable as error:
        return Prepared(function, is_async, fault=str(error))


def function_faults() -> dict[str, str]:
    """Return why registered functions can't be called, by their name."""
    found = {name: find_prepared(name) for name in _functions}
    return {name: each.fault for name, each in found.items() if each and each.fault}


def registered() -> dict[str, Function]:
    """Return the functions registered so far, by name."""
    return dict(_functions)


def find_function(name: str) -> Function | None:
    """Return the function registered under a name."""
    return _functions.get(name)


def nearest_name(name: str) -> str:
    """Return the registered name most like one that is not, or an empty text."""
    return next(iter(get_close_matches(name, _functions, n=1)), "")


@agent_function("identity")
def identity(value: Any, *, step: Step) -> Any:
    """Return the input and who was asked: the baseline agent of the reference."""
    return {"by": "baseline-identity", "agent": step.agent, "echoed": value}
