"""The part of a turn that an emitter sees."""

from typing import Any

from engine.store.base import Ref


class Owner:
    """A turn with a claim."""

    owned_at = 0.0

    def __init__(self) -> None:
        self.events: list[Any] = []

    def claim(self) -> tuple[Ref, int, str]:
        """Return the chain, its sequence number and the nonce."""
        return Ref("R-1", 1, "0"), 0, "a" * 12
