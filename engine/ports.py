"""The protocols that higher floors implement for the engine (settings.SWARM)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from engine.blueprint.program import Agent
from engine.ids import step_id
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import OutputEvent, no_output
from engine.store.base import BatchRef, Ref


def never() -> bool:
    """Return False."""
    return False


# Not frozen, which would triple its cost: each step makes one.
@dataclass(slots=True)
class StepCall:
    """One attempt as an agent sees it; nobody changes it."""

    run: str
    line: int
    """The generation that began the line of its run: a recovery continues it."""
    place: str
    agent: Agent
    attempt: int
    input: Any
    timeout_s: float
    """The timeout of this attempt, in seconds."""
    cancelled: Callable[[], bool] = never
    """Returns whether the run or an enclosing chord has ended, so that the work is lost."""
    emit: Callable[[OutputEvent], None] = no_output
    """Takes an output event of the agent; never raises and never waits for long."""

    @property
    def step_id(self) -> str:
        """The step's id, which names the step and not the attempt.

        The agent passes it as idempotency key to the services that it changes.
        """
        return step_id(self.run, self.line, self.place)


class Spawner(Protocol):
    """Makes an agent of one kind work."""

    in_process: bool
    """Whether attempts run in the worker's process, so that lanes may be batched."""

    def run(self, call: StepCall) -> Outcome:
        """Make one attempt; a fault of the agent is an outcome and not an exception."""


def no_module(name: str) -> str:
    """Raise LookupError."""
    raise LookupError(f"no Lua module is named {name!r}")


NO_INPUT: Final = object()
"""The input of a Lua script without input."""

LuaFaultKind = Literal[
    "syntax",
    "input",
    "error",
    "host",
    "result",
    "time",
    "memory",
    "output",
    "cancelled",
    "sandbox",
]


@dataclass(frozen=True, slots=True)
class LuaLimits:
    """The limits of one Lua script: seconds, and bytes of memory, output and log.

    The output is the result and all partial results, as JSON.
    """

    seconds: float
    memory: int
    output: int
    log: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class LuaScript:
    """A Lua source text with its input.

    `input` becomes `_PROMPT` (a text unchanged, else its JSON text) and `_CTX` (the
    value). Integers beyond 2^53 are refused unless `big_integers_as_text`.
    """

    source: str
    label: str = "script"
    """The name of the source in error texts."""
    input: Any = NO_INPUT
    globals: Mapping[str, Any] = field(default_factory=dict)
    functions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """The functions that `host.NAME(value)` calls in this process: JSON to JSON."""
    find_module: Callable[[str], str] = no_module
    """Returns the source text of a required module, or raises LookupError.

    Modules may use setmetatable, so they must not come from the author of a script.
    """
    big_integers_as_text: bool = False


class LuaFault(Exception):
    """A Lua script has failed.

    `place` is the place of a refused value; for kind `host` it is the type of the error
    that a host function has raised. A `permanent` fault would occur again.
    """

    def __init__(
        self, kind: LuaFaultKind, text: str, place: str = "", permanent: bool = False
    ) -> None:
        """Create a fault with a text for people."""
        super().__init__(text)
        self.kind: LuaFaultKind = kind
        self.text = text
        self.place = place
        self.permanent = permanent


class LuaHost(Protocol):
    """Runs Lua source texts in a sandbox, each isolated from all others."""

    def run(
        self,
        script: LuaScript,
        limits: LuaLimits,
        *,
        emit: Callable[[OutputEvent], None] = no_output,
        cancelled: Callable[[], bool] = never,
    ) -> Any:
        """Return the JSON value that a script returns, or raise LuaFault.

        Meanwhile host functions and `emit` are called in this thread.
        """

    def close(self) -> None:
        """End the sandbox process; a later script starts a new one."""


class Watch:
    """Shows what this process owns to the keeper that renews its leases.

    A process owns at most one chain and one batch at a time; an attempt runs in the
    chain, or in the shown lane of the batch. This class itself shows nothing: it is the
    Watch of processes without a keeper.
    """

    def chain(self, ref: Ref, seq: int, nonce: str, timeout_ms: int) -> None:
        """Show a chain whose attempt or transition starts now."""

    def no_chain(self) -> None:
        """Show that this process owns no chain, though maybe a batch."""

    def batch(self, ref: BatchRef | None, nonce: str = "") -> None:
        """Show the owned batch, or None."""

    def lane(self, index: int, timeout_ms: int) -> None:
        """Show the lane of the batch that starts now; -1 for none."""

    def clear(self) -> None:
        """Show that this process owns nothing."""

    def cancelled(self) -> bool:
        """Return whether the shown chain or batch is cancelled."""
        return False

    def draining(self) -> bool:
        """Return whether this process is to stop and gives its work back."""
        return False
