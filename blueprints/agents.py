"""Agents that are Python functions: the decorator, what a function may raise and return.

A function is `fn(input, *, step) -> JSON`. It lives in a module that
settings.SWARM_AGENT_MODULES names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

_functions: dict[str, Function] = {}
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
    the function changes outside.
    """

    run: str
    place: str
    step_id: str
    agent: str
    attempt: int
    timeout_s: float


def blocked(value: Any) -> Outcome:
    """Return the outcome of a step that was answered with no: it is not tried again."""
    return Outcome(value, ok=False)


def agent_function(name: str) -> Callable[[F], F]:
    """Register a function as the agent function `name`; ValueError if that is taken."""

    def register(fn: F) -> F:
        other = _functions.get(name)
        if other is not None and _origin(other) != _origin(fn):
            raise ValueError(
                f"agent function {name!r} is defined twice:"
                f" in {_origin(other)} and in {_origin(fn)}"
            )
        _functions[name] = fn
        return fn

    return register


def _origin(fn: Function) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"


def load_modules(modules: Iterable[str]) -> None:
    """Import modules of agent functions, each once; AgentModuleBroken names the bad.

    A broken module does not keep those after it from being loaded.
    """
    faults = []
    for module in modules:
        if module in _loaded:
            continue
        try:
            importlib.import_module(module)
        # Importing runs any code at all, so anything may come out of it; a module that
        # asks Python to exit must not end the worker.
        except (Exception, SystemExit) as error:
            faults.append(
                f"the agent module {module!r} (SWARM_AGENT_MODULES) can't be imported:"
                f" {type(error).__name__}: {error}"
            )
            continue
        _loaded.add(module)
    if faults:
        raise AgentModuleBroken("; ".join(faults))


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
