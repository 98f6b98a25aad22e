"""Agents that answer by a script, and the step that a function is called for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.agents import AgentStep, outcome_of
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome


def agent_step(agent: str = "agent", input: Any = None) -> AgentStep:
    """Return the step that a test gives to a function which takes `step`.

    It is the first attempt at the first step of a run; output events are dropped.
    """
    made = Agent(agent, "scripted", "", None)
    return AgentStep(StepCall("R-0", 1, "/children/0", made, 1, input, 600.0))


class ScriptedSpawner:
    """A Spawner whose answers come from a function of the call, or from a list in order.

    An answer is an Outcome, an exception (the attempt fails with its text) or a value
    (the attempt passes; it blocks with `blocked(value)`). `calls` has all calls so far.
    """

    def __init__(
        self,
        script: Callable[[StepCall], Any] | Sequence[Any],
        *,
        in_process: bool = True,
    ) -> None:
        """Follow `script`; after the last answer of a list every attempt fails."""
        self.in_process = in_process
        self.calls: list[StepCall] = []
        self._answer = script if callable(script) else _one_by_one(script)

    def run(self, call: StepCall) -> Outcome:
        """Make one attempt."""
        self.calls.append(call)
        try:
            answer = self._answer(call)
        except Exception as error:
            answer = error
        if isinstance(answer, Outcome):
            return answer
        if isinstance(answer, Exception):
            kind, permanent = type(answer).__name__, getattr(answer, "permanent", False)
            return Outcome(
                "failed", text=str(answer), error_type=kind, permanent=permanent is True
            )
        return outcome_of(answer)


def _one_by_one(answers: Sequence[Any]) -> Callable[[StepCall], Any]:
    left = iter(answers)
    none_left = Outcome("failed", text="the script has no more answers", permanent=True)
    return lambda call: next(left, none_left)
