"""The order in which a worker that serves several queues takes their messages.

The engine's queue comes first: its transitions are short, and urgent runs wait there too.
Then come hi, std and lo; queues of one priority take turns. So that no queue starves,
every eighth order is reversed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.blueprint.program import QUEUE_SUFFIX
from engine.store.base import ENGINE_QUEUE

EIGHTH: Final = 8
_RANKS: Final = {suffix: at for at, suffix in enumerate(QUEUE_SUFFIX.values(), 1)}
_STD: Final = _RANKS[""]


def rank(queue: str) -> int:
    """Return the rank of a queue; the most urgent has the lowest."""
    if queue == ENGINE_QUEUE:
        return 0
    return _RANKS.get(queue[-3:], _STD)


class PollOrder:
    """The queues of one consumer, in the order of their next poll."""

    def __init__(self, queues: Iterable[str] = ()) -> None:
        """Start with these queues, in any order."""
        self._polls = 0
        self.use(queues)

    def use(self, queues: Iterable[str]) -> None:
        """Replace the queues."""
        self._queues = sorted(queues, key=lambda name: (rank(name), name))

    def next(self) -> list[str]:
        """Return the queues in the order of the next poll."""
        self._polls += 1
        return self._queues[::-1] if self._polls % EIGHTH == 0 else self._queues

    def found(self, queue: str) -> None:
        """Move a queue that had a message behind those of its rank."""
        if queue in self._queues:
            self._queues.remove(queue)
            self._queues.append(queue)
            # The sort is stable, so queues of one rank take turns.
            self._queues.sort(key=rank)
