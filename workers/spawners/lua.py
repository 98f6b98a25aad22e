"""The kind lua: a script, inline or registered, in the sandbox of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from django.conf import settings

from blueprints.conf import lua_functions, lua_host
from blueprints.lua_scripts import find_script
from blueprints.spawner import KindSpawner, Limit, LimitRefused, need
from engine.agents import AgentStep
from engine.blueprint import Agent, Diagnostic
from engine.ports import LuaFault, LuaHost, LuaLimits, LuaScript, StepCall
from engine.run.attempt.agent_view import agent_view
from engine.run.attempt.outcomes import Outcome, timed_out

# The settings and the fields of a spec that raise a limit.
HINTS: Mapping[str, str] = {
    "memory": "spec.limits.memory_bytes or SWARM_LUA_MEMORY allows more",
    "output": "spec.limits.output_bytes or SWARM_OUTPUT_LIMIT allows more;"
    " better return a path or an id",
    "big": 'spec.big_integers "text" passes such integers as text',
}
TYPES: Mapping[str, str] = {
    "syntax": "LuaSyntax",
    "error": "LuaError",
    "memory": "LuaMemory",
    "output": "LuaOutput",
    "input": "LuaJson",
    "result": "LuaJson",
    "sandbox": "Launch",
}


UNKNOWN_SCRIPT = "unknown-script"
BROKEN_SCRIPT = "script-broken"
COMPILED_BYTES = 1024


class LuaSpawner(KindSpawner):
    """Runs scripts in the sandbox process of this worker process.

    At the time limit of a script its sandbox is killed and the worker continues with
    another, so lanes may be batched.
    """

    in_process = True
    limits = {
        "time_s": Limit("SWARM_LUA_TIME", "SWARM_LUA_TIME_MAX"),
        "memory_bytes": Limit("SWARM_LUA_MEMORY", "SWARM_LUA_MEMORY_MAX"),
        "output_bytes": Limit("SWARM_OUTPUT_LIMIT", "SWARM_OUTPUT_LIMIT"),
    }

    def __init__(self) -> None:
        """Start nothing; the first script starts the sandbox."""
        self._host: LuaHost = lua_host()

    @classmethod
    def missing(cls, agents: Iterable[tuple[str, Agent]]) -> Iterator[Diagnostic]:
        """Yield the scripts that are not registered and those that do not compile."""
        limits = LuaLimits(
            settings.SWARM_LUA_TIME, settings.SWARM_LUA_MEMORY, COMPILED_BYTES
        )
        for place, agent in agents:
            try:
                source, label = _source(agent)
                # The whole script is compiled, and none of it runs.
                lua_host().run(LuaScript(f"do return end {source}", label), limits)
            except LookupError as error:
                text, _, hint = str(error.args[0]).partition("; ")
                yield need(f"{place}.spec.fn_id", UNKNOWN_SCRIPT, text, hint, agent)
            except LuaFault as fault:
                # Other faults concern this machine: `manage.py doctor` finds them.
                if fault.kind == "syntax":
                    inline = agent.spec.get("source") is not None
                    spot = f"{place}.spec.{'source' if inline else 'fn_id'}"
                    yield need(spot, BROKEN_SCRIPT, fault.text, "", agent)

    def close(self) -> None:
        """End the sandbox; a later attempt starts another."""
        self._host.close()

    def run(self, call: StepCall) -> Outcome:
        """Run the agent's script once; never raises for the script's errors."""
        try:
            script = _script(call)
            limits = self._limits(call)
        except (LimitRefused, LookupError) as error:
            return Outcome("failed", text=str(error), permanent=True)
        try:
            value = self._host.run(
                script, limits, emit=call.emit, cancelled=call.cancelled
            )
        except LuaFault as fault:
            return _failure(fault, limits)
        return _outcome(value)

    def _limits(self, call: StepCall) -> LuaLimits:
        own: Mapping[str, Any] = call.agent.spec.get("limits") or {}
        got = {name: one.of(name, own.get(name)) for name, one in self.limits.items()}
        seconds = min(got["time_s"], call.timeout_s)
        return LuaLimits(seconds, got["memory_bytes"], got["output_bytes"])


def _source(agent: Agent) -> tuple[str, str]:
    """Return the text of an agent's script and its label; raises LookupError."""
    spec = agent.spec
    source, fn_id = spec.get("source"), spec.get("fn_id")
    if source is None:
        source = find_script(str(fn_id), settings.SWARM_LUA_DIRS)
    label = spec.get("label") or (f"{agent.name}.lua" if fn_id is None else str(fn_id))
    return source, label


def _script(call: StepCall) -> LuaScript:
    source, label = _source(call.agent)
    view = agent_view(call.agent, call.run, call.step_id, call.attempt)
    metadata = view.get("task_metadata")
    return LuaScript(
        source=source,
        label=label,
        input=call.input,
        globals={
            "_AGENT": call.agent.name,
            "_TASK_ID": call.step_id,
            "_ATTEMPT": call.attempt,
            "_TASK_METADATA": metadata if isinstance(metadata, dict) else {},
            "_AGENT_CTX": view,
        },
        functions=_functions(call),
        find_module=partial(find_script, folders=settings.SWARM_LUA_DIRS),
        big_integers_as_text=call.agent.spec.get("big_integers") == "text",
    )


def _functions(call: StepCall) -> Mapping[str, Callable[[Any], Any]]:
    found = lua_functions()
    if not found:
        return {}
    step = AgentStep(call)
    return {name: partial(function, step=step) for name, function in found.items()}


def _failure(fault: LuaFault, limits: LuaLimits) -> Outcome:
    if fault.kind == "time":
        return timed_out(round(limits.seconds * 1000))
    text = fault.text
    hint = HINTS.get(fault.kind, "")
    if fault.kind in ("input", "result") and "beyond 2^53" in text:
        hint = HINTS["big"]
    return Outcome(
        "failed",
        text=f"{text}; {hint}" if hint else text,
        permanent=fault.permanent,
        # The place of a host function's error is its type.
        error_type=fault.place if fault.kind == "host" else TYPES.get(fault.kind, ""),
    )


def _outcome(value: Any) -> Outcome:
    """Return the outcome; `value` and `ok` are unpacked as in the reference."""
    if not isinstance(value, dict) or not ("value" in value or "ok" in value):
        return Outcome("passed", value)
    ok = value.get("ok", True)
    if not isinstance(ok, bool):
        text = "the result's `ok` must be true or false: put other data inside `value`"
        return Outcome("failed", text=text, permanent=True, error_type="LuaJson")
    return Outcome("passed" if ok else "blocked", value.get("value", value))
