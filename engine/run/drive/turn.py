"""A turn: one chain that a worker owns, from its claim to its release."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from engine.blueprint.program import Agent
from engine.run.attempt.outcomes import Outcome
from engine.run.chain.chain import Chain
from engine.run.chain.machine import Raised, Signal, StepRequest
from engine.run.chain.outputs import noted, output_owner
from engine.run.drive.load import Prepared
from engine.run.drive.queue_order import rank
from engine.run.journal.entries import Event, pack_entry
from engine.run.limits import Limits, timeout_of
from engine.store.base import (
    ENGINE_QUEUE,
    ENGINE_TIMEOUT_MS,
    TIME_LIMIT_NET_S,
    Pending,
    Ref,
)
from engine.store.record import Record

MOST_DROPPED = 200
"""The most chords that one transition drops; later ones drop the rest."""

NEXT_MESSAGE_S = 0.25
"""The age up to which a delivery takes another message, in seconds."""


class Budget:
    """The budget of a delivery: attempts and seconds until it ends."""

    def __init__(self, limits: Limits, timeout_ms: int, queue: str) -> None:
        """Start with the timeout of the first attempt and the queue of the message."""
        self.rank = rank(queue)
        # A delivery makes at least the step of its message.
        self._steps = max(1, limits.steps)
        self._since = time.monotonic()
        self._seconds = limits.seconds
        self._net = timeout_ms / 1000 + TIME_LIMIT_NET_S

    def spend(self) -> None:
        """Count one attempt."""
        self._steps -= 1

    def allows(self, timeout_ms: int) -> bool:
        """Return whether one more attempt with this timeout fits in."""
        used = self._used()
        return (
            self._steps > 0
            and used < self._seconds
            and used + timeout_ms / 1000 <= self._net
        )

    def allows_next_message(self) -> bool:
        """Return whether this delivery may take another message.

        Only a young delivery may, so that Celery delivers each long step.
        """
        return self._steps > 0 and self._used() < min(NEXT_MESSAGE_S, self._seconds)

    def allows_rank(self, queue: str, most_urgent: int) -> bool:
        """Return whether a step may run in this delivery instead of its own queue.

        A step that is less urgent than the current message waits in its queue, unless no
        agent of its program is more urgent (`most_urgent` is their lowest rank).
        """
        return rank(queue) <= max(self.rank, most_urgent)

    def left_ms(self) -> int:
        """Return the milliseconds until the time limit of the queue message."""
        return round((self._net - self._used()) * 1000)

    def _used(self) -> float:
        return time.monotonic() - self._since


@dataclass(slots=True)
class Turn:
    """A chain that this worker owns, with its uncommitted events."""

    ref: Ref
    nonce: str
    prepared: Prepared
    chain: Chain
    seq: int
    owned_at: float
    """When the claim or the last commit was requested, in monotonic seconds."""
    tries: int = 0
    """Attempts charged to the retry policy."""
    lost: int = 0
    """Attempts lost to dead workers, which have their own cap."""
    signal: Outcome | None = None
    had_signal: bool = False
    outcome: Outcome | None = None
    """The end of the attempt that this turn has made since its last commit."""
    base_id: str = ""
    new_base: tuple[str, bytes] | None = None
    unreferenced: list[str] = field(default_factory=list)
    """Chords to which nothing refers after the next commit."""
    request: StepRequest | None = None
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Name the outputs of the chain after this turn's transitions."""
        if self.chain.shelf is not None:
            self.chain.shelf.name = self._name

    def _name(self) -> str:
        return output_owner(self.ref.key, self.ref.addr, self.seq)

    @classmethod
    def of(
        cls,
        ref: Ref,
        nonce: str,
        prepared: Prepared,
        chain: Chain,
        record: Record,
        owned_at: float,
    ) -> Turn:
        """Return the turn of a claimed chain with the counters of its record."""
        turn = cls(ref, nonce, prepared, chain, record.seq, owned_at)
        turn.tries, turn.lost = record.tries, record.lost
        turn.base_id = record.base_id
        return turn

    @property
    def attempt(self) -> int:
        """The number of the current attempt; lost attempts count."""
        return self.tries + self.lost

    @property
    def puts(self) -> bool:
        """Whether its transition has put outputs, which the journal has to name."""
        return self.chain.shelf is not None and bool(self.chain.shelf.taken)

    def note_join(self, place: str, lane: int, signal: Signal) -> None:
        """Note a join; no edit line refers to the chord of a join that raises."""
        self.events.append(["joined", place, lane])
        if isinstance(signal, Raised):
            self.unreferenced.append(self.chain.consumed)

    def entry(self, who: str, *more: Event) -> bytes:
        """Return the journal entry of the transition; `more` are its last events."""
        events = [*self.events, *more] if more else self.events
        return pack_entry(
            self.ref.addr, self.seq, who, events, **noted(self.chain.shelf)
        )

    def dropped_chords(self) -> list[str]:
        """Return the chords that the next transition drops, a bounded number."""
        return self.unreferenced[:MOST_DROPPED]

    def mark_committed(self, requested_at: float) -> None:
        """Note that everything is stored by a commit requested at this time."""
        self.chain.mark_committed()
        self.seq += 1
        self.events.clear()
        if (shelf := self.chain.shelf) is not None and shelf.taken:
            shelf.clear()
        if self.unreferenced:
            del self.unreferenced[:MOST_DROPPED]
        self.had_signal, self.new_base, self.outcome = False, None, None
        self.owned_at = requested_at

    def claim(self) -> tuple[Ref, int, str]:
        """Return the claim under which its attempt runs."""
        return self.ref, self.seq, self.nonce


def new_nonce() -> str:
    """Return a fresh claim nonce: 12 hex characters."""
    return os.urandom(6).hex()


def engine_pending(chain: Chain, place: str) -> Pending:
    """Return the pending transition of a chain that needs no agent."""
    return Pending(chain.pack(), ENGINE_QUEUE, place, ENGINE_TIMEOUT_MS)


def step_pending(chain: Chain, agent: Agent, place: str, limits: Limits) -> Pending:
    """Return the pending step of a chain, in the queue of its agent."""
    return Pending(chain.pack(), agent.queue, place, timeout_of(agent, limits))
