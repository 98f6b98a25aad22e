"""Calls functions of a test as agents, and functions that fail."""

import json
from typing import Any

from engine.agents import AgentFailed, AgentStep, agent_function
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import OutputEvent
from workers.spawners.python_fn import PythonFunctionSpawner

DO: dict[str, Any] = {}


@agent_function("io-any")
def anything(value: Any, *, step: Any) -> Any:
    return DO["do"](value, step)


@agent_function("io-async")
async def in_time(value: Any, *, step: Any) -> Any:
    return await DO["do"](value, step)


def run(
    fn: str, value: Any = None, do: Any = None, *, timeout_s: float = 10.0
) -> tuple[Outcome, list[OutputEvent]]:
    """Call a function as an agent; its outcome and what it emitted."""
    DO["do"] = do
    emitted: list[OutputEvent] = []
    agent = Agent("grader", "python_fn", "q", 10_000, spec={"fn_id": fn})
    call = StepCall("R-1", 1, "/a", agent, 1, value, timeout_s, emit=emitted.append)
    return PythonFunctionSpawner().run(call), emitted


def deep(text: str) -> Any:
    return json.loads(text)


def bad_part(value: Any, step: AgentStep) -> None:
    step.artifact("", value)


def no_agent(value: Any, step: AgentStep) -> None:
    raise AgentFailed("no, thanks")
