"""The check that a claim is still leased before its agent starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from engine.ports import Watch
from engine.run.journal.entries import Event
from engine.store.addresses import member_of
from engine.store.base import (
    BatchRef,
    Lease,
    Ref,
    Renewal,
    Vanished,
)
from engine.store.port import RunStore

Claim = tuple[Ref | BatchRef, int, str]
"""The claim under which an attempt runs: chain or batch, sequence number, nonce."""


class Owner(Protocol):
    """The owner of a claim: a turn, or a batch of lanes."""

    owned_at: float
    """When the claim was requested or last confirmed, in monotonic seconds."""

    @property
    def events(self) -> list[Event]:
        """The events that go into the journal with the end of the attempt."""

    def claim(self) -> Claim:
        """Return the claim under which the attempt runs."""


class LeaseOver(Vanished):
    """The lease of a claim has ended before its agent starts."""


@dataclass(frozen=True, slots=True)
class Leases:
    """Checks the leases of one worker's claims; `watch` knows of cancellations."""

    store: RunStore
    watch: Watch
    lease_s: float

    def check(self, owner: Owner) -> None:
        """Raise LeaseOver if the claim of `owner` may belong to another worker by now.

        A process that was stopped between its claim and its agent must not run the
        agent beside its successor.
        """
        while time.monotonic() - owner.owned_at > self.lease_s:
            if not self.still_owns(owner):
                raise LeaseOver
        if self.watch.cancelled():
            raise LeaseOver

    def still_owns(self, owner: Owner) -> bool:
        """Renew the lease of a claim; return whether the claim is still valid."""
        ref, _, nonce = owner.claim()
        requested_at = time.monotonic()
        if self.store.renew([Lease(ref.key, member_of(ref), nonce)]) != [Renewal.KEPT]:
            return False
        owner.owned_at = requested_at
        return not self.watch.cancelled()
