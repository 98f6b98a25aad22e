"""In which order the worker's main process asks Redis for messages: kombu's word for it."""

from __future__ import annotations

from collections.abc import Iterable

from engine.run.looks import Looks


class LooksCycle:
    """What kombu asks before each BRPOP, whose keys Redis looks at in their order."""

    def __init__(self, queues: Iterable[str] = ()) -> None:
        """Begin with these queues."""
        self._looks = Looks(queues)

    def update(self, queues: Iterable[str]) -> None:
        """Use the queues that are consumed now."""
        self._looks.use(queues)

    def consume(self, count: int) -> list[str]:
        """Return the queues in the order of this look."""
        return self._looks.order()[:count]

    def rotate(self, last_used: str) -> str:
        """Note where a message was."""
        self._looks.found(last_used)
        return last_used
