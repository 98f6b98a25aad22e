"""The order in which a worker's main process asks Redis for messages, for kombu."""

from __future__ import annotations

from engine.run.drive.queue_order import PollOrder


class QueueOrder(PollOrder):
    """The queue order strategy of our Channel, with the method names of kombu."""

    update = PollOrder.use
    rotate = PollOrder.found

    def consume(self, count: int) -> list[str]:
        """Return the queues of the next BRPOP."""
        return self.next()[:count]
