"""A run event: one archived entry of a run's journal."""

from collections.abc import Iterable
from typing import Any

from django.db import models

from blueprints.models.runs import Run
from engine.run.journal.entries import (
    LONGEST_ADDRESS,
    Event,
    archived_entry,
    shown_events,
)


def kinds_text(kinds: Iterable[str]) -> str:
    """Return the text of the `kinds` column: each kind once, between spaces."""
    return f" {' '.join(dict.fromkeys(kinds))} "


def stored_bytes(value: Any) -> bytes:
    """Return the bytes of a column, which PostgreSQL gives as a memoryview.

    In SQLite someone may have put a text in their place.
    """
    return value.encode() if isinstance(value, str) else bytes(value)


def events_of(data: Any) -> list[Event]:
    """Return the events of an entry, as its column has it; none if it can't be read.

    What is kept as an output is shown as `{"$output": reference}`.
    """
    return shown_events(archived_entry(stored_bytes(data)))


class RunEvent(models.Model):
    """One journal entry, as the bytes that it was; (run, generation, number) is unique.

    `hash` is that of the entry and of the hash before it (engine/run/journal/hashes.py).
    """

    # Without an index of its own: that of `event_once_per_number` starts with it.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    generation = models.PositiveIntegerField()
    number = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    addr = models.CharField(
        "address",
        max_length=LONGEST_ADDRESS,
        blank=True,
        default="",
        help_text="The address of its chain; empty where the whole run is meant.",
    )
    data = models.BinaryField(default=b"")
    hash = models.BinaryField(default=b"")
    kinds = models.TextField(
        blank=True,
        default="",
        help_text="The kinds of all its events, a space around each.",
    )
    says = models.BooleanField(default=False, help_text="Has output of an agent.")

    class Meta:
        ordering = ["run_id", "generation", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation", "number"], name="event_once_per_number"
            )
        ]
        indexes = [
            models.Index(
                fields=["run", "generation", "number"],
                condition=models.Q(says=True),
                name="event_that_says",
            ),
            models.Index(
                fields=["run", "generation", "addr", "number"], name="event_of_chain"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"

    def events(self) -> list[tuple[str, Event]]:
        """Return its events, each with its address: entry 7 contains 7.1, 7.2."""
        packed = enumerate(events_of(self.data), start=1)
        return [(f"{self.number}.{part}", event) for part, event in packed]
