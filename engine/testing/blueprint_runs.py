"""Run a Blueprint that Python has built, with its functions and with scripted agents."""

from __future__ import annotations

import asyncio
import inspect
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from engine.agent_inputs import given_to
from engine.agent_names import Agent, agent_name
from engine.agents import (
    LIBRARIES,
    AgentFunction,
    AgentStep,
    code_place,
    failure_of,
    outcome_of,
)
from engine.blueprint import compile_blueprint, merge_init_ctx
from engine.build import Blueprint
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean
from engine.ids import new_id
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.states import RunStatus
from engine.store.redis import RedisStore
from engine.testing.scripted import ScriptedSpawner
from engine.testing.simulator import CALM, Chaos, Simulator

Script: TypeAlias = Callable[[Any], Any] | Sequence[Any]
"""A function of the input, or the answers in order."""


_OTHERS: Final = (f"{Path(__file__).parent.parent}{os.sep}", *LIBRARIES, "<")
"""How the files begin that no agent's author has written."""


@dataclass(frozen=True, slots=True)
class BlueprintRun:
    """How a run has ended: its status, its final Ctx, and its error with what raised it.

    `error` is the text of the language, and `ctx` after a failure what the Ctx was then.
    """

    status: str
    ctx: Json
    error: str
    cause: Exception | None
    _calls: Mapping[str, ScriptedSpawner] = field(repr=False)

    def __repr__(self) -> str:
        """Return status and Ctx of a run, or the error and where it was raised."""
        if not self.error:
            return f"<run {self.status}: {self.ctx!r}>"
        return f"<run {self.status}: {self._fault()}>"

    def check(self) -> BlueprintRun:
        """Return the run itself if it is done; else raise AssertionError with its error."""
        if self.status != RunStatus.DONE:
            raise AssertionError(f"the run is {self.status}: {self._fault()}") from (
                self.cause
            )
        return self

    def inputs(self, agent: Agent) -> list[Any]:
        """Return the inputs of all attempts of an agent, in order."""
        return [call.input for call in self._calls[_named(agent, self._calls)].calls]

    def _fault(self) -> str:
        return ", ".join(filter(None, (self.error, _raised_at(self.cause))))


def run_blueprint(
    store: RedisStore,
    blueprint: Blueprint,
    *,
    agents: Mapping[Agent, Script] | None = None,
    ctx: Json = None,
    seed: int = 0,
    chaos: Chaos = CALM,
) -> BlueprintRun:
    """Run a Blueprint to its end in this thread, on the real engine.

    `agents` has scripts by the function, its name or `module:name`; functions without a
    script are called themselves, as a worker calls them. Waits take no time. Raises
    ValueError for a script of no agent, and for an agent of another kind without one.
    """
    program = compile_blueprint(blueprint.document)
    raised: list[Exception] = []
    scripts = {
        _named(agent, program.agents): _scripted(agent, script, raised)
        for agent, script in (agents or {}).items()
    }
    for name in program.agents.keys() - scripts.keys():
        if name not in blueprint.functions:
            raise ValueError(f"the agent {name!r} is no function: give it a script")
        function = _called(name, blueprint.functions[name])
        scripts[name] = ScriptedSpawner(_attempted(function, raised))
    spawner = _ByAgent(scripts)
    kinds = {agent.kind: spawner for agent in program.agents.values()}
    simulator, run = Simulator(store, kinds, seed=seed, chaos=chaos), new_id("R")
    simulator.launch(program, merge_init_ctx(program.default_init_ctx, ctx), run)
    status = simulator.run(run).status
    final = simulator.final(run)
    _, error = simulator.error(run) or ("", "")
    causes = (one for one in reversed(raised) if failure_of(one).text in error)
    return BlueprintRun(status, final, error, next(causes, None), scripts)


class _ByAgent:
    """A Spawner that has another one for each agent."""

    in_process = True

    def __init__(self, spawners: Mapping[str, ScriptedSpawner]) -> None:
        self._spawners = spawners

    def run(self, call: StepCall) -> Outcome:
        return self._spawners[call.agent.name].run(call)


def _named(agent: Agent, known: Mapping[str, Any]) -> str:
    """Return the name of an agent, also for the name of its function alone."""
    name = agent_name(agent)
    if name in known:
        return name
    ends = [one for one in known if one.endswith(f":{name}")]
    if len(ends) != 1:
        hint = f"write one of {', '.join(ends)}" if ends else did_you_mean(name, known)
        which = "several agents are" if ends else "no agent is"
        raise ValueError(f"{which} named {name!r}; {hint}")
    return ends[0]


def _scripted(agent: Agent, script: Script, raised: list[Exception]) -> ScriptedSpawner:
    if callable(script):
        answer = script
        return ScriptedSpawner(_attempted(lambda call: answer(call.input), raised))
    if isinstance(script, list | tuple):
        return ScriptedSpawner(script)
    wanted = "a list of answers or a function of the input"
    raise TypeError(f"the script of {agent!r}: expected {wanted}, got {script!r}")


def _called(name: str, function: Callable[..., Any]) -> Callable[[StepCall], Any]:
    made = AgentFunction(function, name.partition(":")[0], name)

    def answer(call: StepCall) -> Any:
        value = given_to(made, name, call.input)
        value = made.call(value, AgentStep(call, call.emit))
        return asyncio.run(value) if inspect.iscoroutine(value) else value

    return answer


def _attempted(
    answer: Callable[[StepCall], Any], raised: list[Exception]
) -> Callable[[StepCall], Outcome]:
    """Return the attempt that a call makes; what it raises is added to a list."""

    def attempt(call: StepCall) -> Outcome:
        try:
            value = answer(call)
        except Exception as error:
            raised.append(error)
            return failure_of(error)
        return value if isinstance(value, Outcome) else outcome_of(value)

    return attempt


def _raised_at(error: Exception | None) -> str:
    """Return the innermost line of the file in which an agent's own code begins."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if not one.filename.startswith(_OTHERS)]
    if not own:
        return ""
    last = next(one for one in reversed(own) if one.filename == own[0].filename)
    return f"raised at {code_place(last.filename, last.lineno or 0)} in {last.name}"
