"""Runs agents of the kind subprocess from their Blueprint, through the compiler."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.blueprint import Program, compile_blueprint
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import OutputEvent
from workers.spawners.subprocess import SubprocessSpawner

PYTHON = [sys.executable, "-I", "-S", "-B", "-c"]


def program_of(agents: list[dict[str, Any]], **more: Any) -> Program:
    """Return the program of a Blueprint with these agents and a flow without steps."""
    nothing = {"kind": "seq", "children": []}
    rows = [{"kind": "subprocess", **agent} for agent in agents]
    document = {"id": "children", "flow": nothing, "agents": rows, **more}
    return compile_blueprint(document, kinds=["subprocess"])


class Children:
    """Makes attempts of agents and keeps their output events."""

    def __init__(self) -> None:
        self.spawner = SubprocessSpawner()
        self.events: list[OutputEvent] = []

    def attempt(
        self, program: Program, name: str, value: Any = None, **call: Any
    ) -> Outcome:
        """Make one attempt of an agent of a program."""
        given = {
            "run": "R-1", "line": 1, "place": "/children/0",
            "agent": program.agents[name], "attempt": 2, "input": value,
            "timeout_s": 20.0, "emit": self.events.append,
        }  # fmt: skip
        return self.spawner.run(StepCall(**(given | call)))

    def __call__(
        self,
        code: str,
        value: Any = None,
        *words: str,
        profile: dict[str, Any] | None = None,
        call: dict[str, Any] | None = None,
        **spec: Any,
    ) -> Outcome:
        """Run Python code as a template's program, with further words as arguments."""
        spec = {"argv": [*PYTHON, code, *words], **spec}
        agent = {"name": "child", "spec": spec, "profile": profile}
        return self.attempt(program_of([agent]), "child", value, **(call or {}))


@pytest.fixture
def child() -> Iterator[Children]:
    """What makes attempts; its launcher ends with the test."""
    made = Children()
    yield made
    made.spawner.close()


@pytest.fixture
def compiled() -> Callable[..., Program]:
    """The function that compiles agents of the kind subprocess."""
    return program_of
