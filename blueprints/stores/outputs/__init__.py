"""Where outputs are kept: one file for each place that SWARM_OUTPUTS can name."""

from typing import Protocol

from engine.output_store import OutputStore


class InstalledOutputs(OutputStore, Protocol):
    """An OutputStore that SWARM_OUTPUTS can choose; its text says where it is."""

    def reach(self) -> str:
        """Return, for people, which hosts see it."""

    def room(self) -> int | None:
        """Return how many bytes it has room for, None if that is unknown; OutputsAway."""
