"""A turn: one chain in a worker's hands, from its claim to its release."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from engine.blueprint.program import Agent
from engine.run.chain import Chain
from engine.run.events import Event
from engine.run.load import Prepared
from engine.run.looks import rank
from engine.run.machine import Raised, Signal, StepRequest
from engine.run.outcomes import Outcome
from engine.store.base import ENGINE_QUEUE, Pending, Ref

ENGINE_TIMEOUT_MS = 60_000
"""How long a transition without an agent may take before its claim is lost."""

MOST_DROPPED = 200
"""Chords that one transition drops at most; those after it drop the others."""

LONGEST_MS = 999_999_999
"""The longest timeout that a chain's record can hold (eleven days)."""

TAKES_ON_S = 0.25
"""How old a delivery may be that takes another message off its queue, in seconds."""

TIME_LIMIT_NET_S = 30.0
"""What a queue message's hard time limit adds to its first attempt's timeout."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets and sizes that bound how a run moves (docs/settings.md)."""

    lease_s: float = 10.0
    steps: int = 100
    """Agent attempts a delivery may make; 0 or 1 make every step its own delivery."""
    seconds: float = 2.0
    lane_batch: int = 64
    window: int = 1024
    consumers: int = 2
    """Worker processes a small fanout is spread over."""
    ctx_bytes: int = 8 << 20
    input_bytes: int = 32 << 20
    attempt_ms: int = 600_000
    """How long an attempt may take where its agent does not say."""
    events: int = 10_000
    """Output events an attempt may emit; beyond, its output is truncated."""
    event_bytes: int = 1 << 20
    cache_bytes: int = 16 << 20
    """What a process keeps parsed of programs, bases and chords, as JSON."""

    def too_large(self, what: str) -> list[str]:
        """Return the error of a chain whose `what` ("... is") exceeds `input_bytes`."""
        return [
            "InputLimit",
            f"{what} larger than SWARM_INPUT_LIMIT ({self.input_bytes} bytes):"
            " work on ids or paths instead",
        ]


class Budget:
    """What a delivery may still do before it gives the queue back."""

    def __init__(self, limits: Limits, timeout_ms: int, queue: str) -> None:
        """Start counting; `timeout_ms` is that of the first attempt.

        `queue` is where the message in hand lay.
        """
        self.rank = rank(queue)
        # A delivery that may not run the step it has come for would be made in vain.
        self._steps = max(1, limits.steps)
        self._since = time.monotonic()
        self._seconds = limits.seconds
        self._net = timeout_ms / 1000 + TIME_LIMIT_NET_S

    def spend(self) -> None:
        """Count one attempt."""
        self._steps -= 1

    def allows(self, timeout_ms: int) -> bool:
        """Tell whether one more attempt of this timeout fits in."""
        used = self._used()
        return (
            self._steps > 0
            and used < self._seconds
            and used + timeout_ms / 1000 <= self._net
        )

    def takes_on(self) -> bool:
        """Tell whether this delivery may go on with another message of its queue.

        Only for a moment, so that a worker which makes long steps asks Celery for each.
        """
        return self._steps > 0 and self._used() < min(TAKES_ON_S, self._seconds)

    def allows_rank(self, queue: str, most_urgent: int) -> bool:
        """Tell whether a step may be made here and not wait in its own queue.

        Less urgent than the message in hand it waits there, behind what is more urgent,
        where the agents of its program differ in that (`most_urgent` is their best).
        """
        return rank(queue) <= max(self.rank, most_urgent)

    def left_ms(self) -> int:
        """Return how long an attempt may take before the queue message's time limit."""
        return round((self._net - self._used()) * 1000)

    def _used(self) -> float:
        return time.monotonic() - self._since


@dataclass(slots=True)
class Turn:
    """A chain that this worker owns, and what it has found out since the last commit."""

    ref: Ref
    nonce: str
    prepared: Prepared
    chain: Chain
    seq: int
    owned_at: float
    """When the claim or the last commit was asked for, in monotonic seconds."""
    tries: int = 0
    """Attempts charged to the retry policy."""
    lost: int = 0
    """Attempts lost to dead workers, capped apart."""
    timeout_ms: int = ENGINE_TIMEOUT_MS
    signal: Outcome | None = None
    had_signal: bool = False
    base_id: str = ""
    new_base: tuple[str, bytes] | None = None
    needless: list[str] = field(default_factory=list)
    """Chords that nothing refers to once this turn has committed."""
    request: StepRequest | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def attempt(self) -> int:
        """The number of the attempt in hand, lost ones counted."""
        return self.tries + self.lost

    def joined(self, place: str, lane: int, signal: Signal) -> None:
        """Note a join: what raises leaves no line that would refer to its chord."""
        self.events.append(["joined", place, lane])
        if isinstance(signal, Raised):
            self.needless.append(self.chain.consumed)

    def dropped(self) -> list[str]:
        """Return the chords that the next transition drops, which is not to take long."""
        return self.needless[:MOST_DROPPED]

    def committed(self, asked_at: float) -> None:
        """Note that all it has found out is written; that was asked for at a time."""
        self.chain.committed()
        self.seq += 1
        self.events.clear()
        del self.needless[:MOST_DROPPED]
        self.had_signal, self.new_base = False, None
        self.owned_at = asked_at

    def claim(self) -> tuple[Ref, int, str]:
        """Return what its attempt runs under."""
        return self.ref, self.seq, self.nonce


def timeout_of(agent: Agent, limits: Limits) -> int:
    """Return how long an attempt of an agent may take, in ms, as a record can hold it."""
    own = agent.timeout_ms
    return min(limits.attempt_ms if own is None else own, LONGEST_MS)


def new_nonce() -> str:
    """Return a fresh claim nonce: 12 hex characters."""
    return os.urandom(6).hex()


def engine_pending(turn: Turn, place: str) -> Pending:
    """Return what a chain that needs no agent waits for."""
    return Pending(turn.chain.pack(), ENGINE_QUEUE, place, ENGINE_TIMEOUT_MS)
