"""A run event: one archived entry of a run's journal."""

from collections.abc import Iterable

from django.db import models

from blueprints.models.readable_json import ReadableJSONField, Unreadable
from blueprints.models.runs import Run
from engine.run.journal.entries import Event


def kinds_text(kinds: Iterable[str]) -> str:
    """Return the text of the `kinds` column: each kind once, between spaces."""
    return f" {' '.join(dict.fromkeys(kinds))} "


class RunEvent(models.Model):
    """One journal entry; (run, generation, number) is unique."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    generation = models.PositiveIntegerField()
    number = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    data = ReadableJSONField(default=dict)
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
            )
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"

    def events(self) -> list[tuple[str, Event]]:
        """Return its events, each with its address: entry 7 contains 7.1, 7.2."""
        if isinstance(self.data, Unreadable):
            return []
        packed = enumerate(self.data.get("e", ()), start=1)
        return [(f"{self.number}.{part}", event) for part, event in packed]
