"""Outputs: their contents where the database keeps them, their records, who needs them."""

from functools import partial
from typing import Final

from django.db import models
from django.utils import timezone

from blueprints.models.runs import Run
from blueprints.models.steps import Step
from engine.ids import new_id

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
    """A final or a named part that a step's attempt gave; its value is in the journal.

    (step, number, part) is unique: the number of the journal's entry, and which of the
    outputs in that entry it is.
    """

    id = models.CharField(
        primary_key=True, max_length=40, default=partial(new_id, "out"), editable=False
    )
    # Without an index of its own: that of `output_once` starts with it.
    step = models.ForeignKey(
        Step, on_delete=models.CASCADE, related_name="outputs", db_index=False
    )
    attempt = models.PositiveIntegerField()
    number = models.PositiveBigIntegerField()
    part = models.PositiveIntegerField()
    producer_agent = models.CharField(max_length=128)
    type = models.CharField(max_length=16, help_text="final or artifact")
    name = models.TextField(blank=True, help_text="The name of the part.")
    sha256 = models.CharField(
        max_length=SHA256,
        blank=True,
        help_text="The name of its content in the output store; empty if it is small.",
    )
    size = models.PositiveBigIntegerField(help_text="Bytes of its JSON text.")
    parent_refs = models.JSONField(
        default=list, blank=True, help_text="The outputs that it was made of."
    )

    class Meta:
        ordering = ["step_id", "number", "part"]
        constraints = [
            models.UniqueConstraint(
                fields=["step", "number", "part"], name="output_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["producer_agent", "-id"], name="output_newest_of_agent"
            )
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.type} of {self.producer_agent})"


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
