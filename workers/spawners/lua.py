"""The kind lua: a script, inline or registered, in the sandbox of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.conf import settings

from blueprints.agent_limits import Limit, LimitRefused, Limits
from blueprints.agents import Step
from blueprints.conf import lua_functions, lua_host
from blueprints.lua_scripts import find_script
from engine.ports import LuaFault, LuaHost, LuaLimits, LuaScript, StepCall
from engine.run.agent_view import agent_view
from engine.run.outcomes import Outcome, timed_out

# Settings, and what an agent's spec calls the same.
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


class LuaSpawner:
    """Runs scripts in the sandbox process of this worker process.

    At its time limit a script's sandbox is killed and the worker goes on with another,
    so lanes may be batched.
    """

    in_process = True
    limits: Limits = {
        "time_s": Limit("SWARM_LUA_TIME", "SWARM_LUA_TIME_MAX"),
        "memory_bytes": Limit("SWARM_LUA_MEMORY", "SWARM_LUA_MEMORY_MAX"),
        "output_bytes": Limit("SWARM_OUTPUT_LIMIT", "SWARM_OUTPUT_LIMIT"),
    }

    def __init__(self) -> None:
        """Start nothing; the first script starts the sandbox."""
        self._host: LuaHost = lua_host()

    def close(self) -> None:
        """End the sandbox; a later attempt starts another."""
        self._host.close()

    def run(self, call: StepCall) -> Outcome:
        """Run the agent's script once; never raises for what the script does."""
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
        asked: Mapping[str, Any] = call.agent.spec.get("limits") or {}
        got = {name: one.of(name, asked.get(name)) for name, one in self.limits.items()}
        seconds = min(got["time_s"], call.timeout_s)
        return LuaLimits(seconds, got["memory_bytes"], got["output_bytes"])


def _script(call: StepCall) -> LuaScript:
    spec = call.agent.spec
    name = call.agent.name
    source = spec.get("source")
    fn_id = spec.get("fn_id")
    registered = partial(find_script, folders=settings.SWARM_LUA_DIRS)
    if source is None:
        source = registered(str(fn_id))
    label = spec.get("label") or (f"{name}.lua" if fn_id is None else str(fn_id))
    view = agent_view(call.agent, call.run, call.step_id, call.attempt)
    metadata = view.get("task_metadata")
    return LuaScript(
        source=source,
        label=label,
        input=call.input,
        globals={
            "_AGENT": name,
            "_TASK_ID": call.step_id,
            "_ATTEMPT": call.attempt,
            "_TASK_METADATA": metadata if isinstance(metadata, dict) else {},
            "_AGENT_CTX": view,
        },
        functions=_functions(call),
        find_module=registered,
        big_integers_as_text=spec.get("big_integers") == "text",
    )


def _functions(call: StepCall) -> Mapping[str, Callable[[Any], Any]]:
    found = lua_functions()
    if not found:
        return {}
    step = Step(
        call.run,
        call.place,
        call.step_id,
        call.agent.name,
        call.attempt,
        call.timeout_s,
    )
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
        # A host function's error is known by its own type.
        error_type=fault.place if fault.kind == "host" else TYPES.get(fault.kind, ""),
    )


def _outcome(value: Any) -> Outcome:
    """Read a result as the reference does: `value` and `ok` are unpacked."""
    if not isinstance(value, dict) or not ("value" in value or "ok" in value):
        return Outcome("passed", value)
    ok = value.get("ok", True)
    if not isinstance(ok, bool):
        text = "the result's `ok` must be true or false: put other data inside `value`"
        return Outcome("failed", text=text, permanent=True, error_type="LuaJson")
    return Outcome("passed" if ok else "blocked", value.get("value", value))
