"""What the engine needs from higher floors, as protocols wired in settings.SWARM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from engine.blueprint.program import Agent
from engine.run.outcomes import Outcome
from engine.run.outputs import OutputEvent, no_output
from engine.store.base import BatchRef, Ref


def never() -> bool:
    """Return False."""
    return False


@dataclass(frozen=True, slots=True)
class StepCall:
    """One attempt as an agent sees it.

    `step_id` names the step, not the attempt: it is the idempotency key to hand on to
    whatever the agent changes outside.
    """

    run: str
    gen: int
    place: str
    step_id: str
    agent: Agent
    attempt: int
    input: Any
    timeout_s: float
    """Seconds this attempt may take."""
    cancelled: Callable[[], bool] = never
    """Tells whether the run or an enclosing chord has ended, so that work is in vain."""
    emit: Callable[[OutputEvent], None] = no_output
    """Takes what the agent says while it works; never raises, never waits for long."""


class Spawner(Protocol):
    """Makes an agent of one kind work."""

    in_process: bool
    """True if an attempt runs in the worker's own process (its lanes may be batched)."""

    def run(self, call: StepCall) -> Outcome:
        """Make one attempt; never raises for what the agent does wrong."""


def no_module(name: str) -> str:
    """Raise LookupError."""
    raise LookupError(f"no Lua module is named {name!r}")


NO_INPUT: Final = object()
"""The input of a Lua script that is given none."""

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
    """What one Lua script may use: seconds, and bytes of memory, output and log.

    Output is its result and its partial results together, as JSON.
    """

    seconds: float
    memory: int
    output: int
    log: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class LuaScript:
    """A Lua source text and what it is given.

    `input` becomes `_PROMPT` (a text as it is, else its JSON text) and `_CTX` (its
    value). Integers beyond 2^53 are refused unless `big_integers_as_text`.
    """

    source: str
    label: str = "script"
    """How error texts name the source."""
    input: Any = NO_INPUT
    globals: Mapping[str, Any] = field(default_factory=dict)
    functions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """What `host.NAME(value)` calls here, in this process: JSON to JSON."""
    find_module: Callable[[str], str] = no_module
    """Gives the source text of what a script requires; LookupError says there is none.

    Modules may use setmetatable: don't give what the author of a script has written.
    """
    big_integers_as_text: bool = False


class LuaFault(Exception):
    """A Lua script gave no result.

    `place` is where a refused value is; of kind `host` it is the type of the error that
    a host function raised. `permanent`: running it again would end the same way.
    """

    def __init__(
        self, kind: LuaFaultKind, text: str, place: str = "", permanent: bool = False
    ) -> None:
        """Fault with a text for people."""
        super().__init__(text)
        self.kind: LuaFaultKind = kind
        self.text = text
        self.place = place
        self.permanent = permanent


class LuaHost(Protocol):
    """Runs Lua source texts in a sandbox, each apart from all others."""

    def run(
        self,
        script: LuaScript,
        limits: LuaLimits,
        *,
        emit: Callable[[OutputEvent], None] = no_output,
        cancelled: Callable[[], bool] = never,
    ) -> Any:
        """Return the JSON value a script returns; raises LuaFault.

        Host functions and `emit` are called in this thread, meanwhile.
        """

    def close(self) -> None:
        """End what runs below this process; a later script starts anew."""


class Watch(Protocol):
    """Shows what this process owns to the keeper that renews its leases.

    A process owns at most one chain and one batch at a time; an attempt is running in
    the chain, or in the shown lane of the batch.
    """

    def chain(self, ref: Ref, seq: int, nonce: str, timeout_ms: int) -> None:
        """Show a chain whose attempt or transition starts now."""

    def no_chain(self) -> None:
        """Show that no chain is owned (a batch may still be)."""

    def batch(self, ref: BatchRef | None, nonce: str = "") -> None:
        """Show the batch that is owned, or that none is any more."""

    def lane(self, index: int, timeout_ms: int) -> None:
        """Show which lane of the batch starts now; -1 when none is running."""

    def clear(self) -> None:
        """Show that nothing is owned."""

    def cancelled(self) -> bool:
        """Tell whether what is shown is known to be in vain."""

    def draining(self) -> bool:
        """Tell whether this process is asked to stop, so that it gives work back."""


class NoWatch:
    """A Watch that shows nothing, for processes without a keeper."""

    def chain(self, ref: Ref, seq: int, nonce: str, timeout_ms: int) -> None:
        """Show nothing."""

    def no_chain(self) -> None:
        """Show nothing."""

    def batch(self, ref: BatchRef | None, nonce: str = "") -> None:
        """Show nothing."""

    def lane(self, index: int, timeout_ms: int) -> None:
        """Show nothing."""

    def clear(self) -> None:
        """Show nothing."""

    def cancelled(self) -> bool:
        """Never in vain."""
        return False

    def draining(self) -> bool:
        """Never asked to stop."""
        return False
