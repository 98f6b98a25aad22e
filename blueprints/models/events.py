"""A run event: one entry of a run's journal, as archived."""

from django.db import models

from blueprints.models.readable_json import ReadableJSONField
from blueprints.models.runs import Run


class RunEvent(models.Model):
    """One journal entry; (run, generation, number) says which."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    generation = models.PositiveIntegerField()
    number = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    data = ReadableJSONField(default=dict)
    says = models.BooleanField(default=False, help_text="Has output of an agent.")

    class Meta:
        ordering = ["run_id", "generation", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation", "number"], name="event_once_per_number"
            ),
        ]
        indexes = [
            models.Index(
                fields=["run", "generation", "number"],
                condition=models.Q(says=True),
                name="event_that_says",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"
