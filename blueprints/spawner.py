"""The interface of a kind's spawner: attempts, limits and needed parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from engine.blueprint import Agent, Diagnostic
from engine.blueprint.analysis.signatures import Signature
from engine.blueprint.findings.diagnostics import Element
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome


class LimitRefused(ValueError):
    """An agent's limit is above the maximum of this installation."""


@dataclass(frozen=True, order=True, slots=True)
class Limit:
    """The names of two settings: the default of a limit and its maximum."""

    usual: str
    most: str

    def fault(self, name: str, value: Any) -> str:
        """Return why an agent's value is refused; empty if it is allowed."""
        most = getattr(settings, self.most)
        if value is None or value <= most:
            return ""
        return f"spec.limits.{name} {value} is more than {self.most} ({most})"

    def of(self, name: str, value: Any) -> Any:
        """Return an agent's value or the default; raise LimitRefused."""
        if value is not None:
            if fault := self.fault(name, value):
                raise LimitRefused(fault)
            return value
        return min(getattr(settings, self.usual), getattr(settings, self.most))


class KindSpawner(ABC):
    """Run the agents of one kind; differences between kinds are class attributes.

    It is a Spawner of the engine. Before a worker starts, only the class is used.
    """

    in_process: bool = False
    """Whether an attempt runs in the worker's own process, so that lanes are batched."""
    debuggable: bool = False
    """Whether its agents are Python code in that process, where a debugger can stop it."""
    interrupts: tuple[type[BaseException], ...] = ()
    """The exceptions of an agent that interrupt this process, and are no failure."""
    pool: str = "prefork"
    """The pool of the workers that serve the kind."""
    pools_refused: Mapping[str, str] = {}
    """The pools that can't serve the kind, each with the reason."""
    limits: Mapping[str, Limit] = {}
    """Each field of `spec.limits` with its settings."""

    @classmethod
    def prepare(cls) -> Iterator[str]:
        """Load the agent code before the pool forks; yield a text for each failure."""
        yield from ()

    @classmethod
    def missing(cls, agents: Iterable[tuple[str, Agent]]) -> Iterator[Diagnostic]:
        """Yield a finding for each part that agents need and this host lacks."""
        yield from ()

    @classmethod
    def signature(cls, agent: Agent) -> Signature | None:
        """Return what the code of an agent takes, None if that is not known."""
        return None

    @classmethod
    def functions(cls, agent: Agent) -> Iterator[tuple[str, str]]:
        """Yield the function that an agent names, with its module."""
        yield from ()

    @abstractmethod
    def run(self, call: StepCall) -> Outcome:
        """Make one attempt; return faults of the agent as a failed outcome."""


def need(place: str, kind: str, text: str, hint: str, agent: Agent) -> Diagnostic:
    """Return the finding that this host lacks a part an agent needs."""
    element = Element("Agent", agent.name)
    return Diagnostic(place, kind, text, hint, element=element, stage="LaunchPreflight")
