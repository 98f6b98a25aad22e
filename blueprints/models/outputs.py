"""Outputs: their contents where the database keeps them, their records, who needs them."""

from typing import Any, Final

from django.db import models
from django.utils import timezone

from blueprints.models.runs import Run

SHA256: Final = 64


class OutputContent(models.Model):
    """A content, where SWARM_OUTPUTS is `database`."""

    sha256 = models.CharField(primary_key=True, max_length=SHA256, editable=False)
    content = models.BinaryField()
    put_at = models.DateTimeField(
        default=timezone.now, help_text="The time of its last put."
    )

    def __str__(self) -> str:
        return self.sha256


class OutputRecord(models.Model):
    """An output of a run that the journal tells of: who gave it, and what it is."""

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    # Without an index of its own: that of `output_of_run` starts with it.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="outputs", db_index=False
    )
    generation = models.PositiveIntegerField()
    number = models.PositiveBigIntegerField(help_text="The entry of the journal.")
    at = models.DateTimeField()
    place = models.TextField(blank=True, help_text="Empty where no step gave it.")
    task_id = models.CharField("step id", max_length=40, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    producer_agent = models.CharField(max_length=128, blank=True)
    event = models.JSONField(
        help_text="The final, the named part or the value, with its content."
    )
    parent_refs = models.JSONField(
        default=list, blank=True, help_text="The outputs that it was made of."
    )

    class Meta:
        ordering = ["run_id", "generation", "number", "id"]
        indexes = [
            models.Index(fields=["run", "generation", "number"], name="output_of_run"),
            models.Index(fields=["producer_agent", "-at"], name="output_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.event['type']})"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "id": self.id,
            "run": self.run_id,
            "generation": self.generation,
            "number": self.number,
            "at": self.at.isoformat(),
            "place": self.place,
            "task_id": self.task_id,
            "attempt": self.attempt,
            "producer_agent": self.producer_agent,
            "event": self.event,
            "parent_refs": self.parent_refs,
        }


class OutputReference(models.Model):
    """A content that a run refers to, and that is kept as long as the run is."""

    # Without an index of its own: that of `reference_once` starts with it.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="output_references", db_index=False
    )
    sha256 = models.CharField(max_length=SHA256, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "sha256"], name="reference_once")
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.sha256}"
