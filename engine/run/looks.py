"""In which order a worker that serves several queues looks at them.

The engine's queue comes first: what it carries is short, and an urgent run waits there
as well. Then hi, std and lo; queues of one priority take turns. So that nothing starves,
every eighth look starts from the other end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from engine.blueprint.program import QUEUE_SUFFIX
from engine.store.base import ENGINE_QUEUE, Claimed, Ref, RunStore

EIGHTH: Final = 8
_RANKS: Final = {suffix: at for at, suffix in enumerate(QUEUE_SUFFIX.values(), 1)}
_STD: Final = _RANKS[""]


def rank(queue: str) -> int:
    """Return how soon a queue is looked at, the soonest first."""
    if queue == ENGINE_QUEUE:
        return 0
    return _RANKS.get(queue[-3:], _STD)


class Allowance(Protocol):
    """What a delivery may still do, as far as a look needs it (turn.py)."""

    rank: int
    """That of the queue where the message in hand lay."""

    def left_ms(self) -> int:
        """Return how long an attempt may take."""


class Looks:
    """Says for each look in which order it goes, and is told what it found."""

    def __init__(self, queues: Iterable[str] = ()) -> None:
        """Begin with these queues, whatever their order."""
        self._looks = 0
        self.use(queues)

    def use(self, queues: Iterable[str]) -> None:
        """Look at these queues from now on."""
        self._queues = sorted(queues, key=lambda name: (rank(name), name))

    def order(self) -> list[str]:
        """Return the queues in the order of this look."""
        self._looks += 1
        return self._queues[::-1] if self._looks % EIGHTH == 0 else self._queues

    def take(
        self, store: RunStore, queue: str, nonce: str, budget: Allowance
    ) -> tuple[Ref, Claimed] | None:
        """Claim the next message of these queues, or of `queue` where there are none."""
        taken = store.claim_next(self.order() or [queue], nonce, budget.left_ms())
        if taken is not None:
            found = taken[1].record.queue
            self.found(found)
            budget.rank = rank(found)
        return taken

    def found(self, queue: str) -> None:
        """Note that a look has found a message in this queue."""
        if queue in self._queues:
            self._queues.remove(queue)
            self._queues.append(queue)
            # It keeps the order of equals, so that they take turns.
            self._queues.sort(key=rank)
