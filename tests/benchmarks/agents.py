"""The no-op agents of our side; workers import this through SWARM_AGENT_MODULES."""

from typing import Any

from engine.agents import agent_function


@agent_function("bench-noop")
def noop(value: Any, *, step: Any) -> Any:
    """Return a small value; the input is the Ctx of about 1 KB."""
    return 1


@agent_function("bench-echo")
def echo(value: Any, *, step: Any) -> Any:
    """Return the input of about 1 KB."""
    return value
