"""A step: one visit to a `step` node in a run."""

from django.db import models

from blueprints.models.runs import Run
from engine.run.states import StepStatus


class Step(models.Model):
    """One step; (run, generation, place) is unique."""

    # Without an index of its own: that of `step_once_per_place` begins with it.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="steps", db_index=False
    )
    generation = models.PositiveIntegerField()
    place = models.TextField(
        help_text="Node path with loop iteration and lane, as /children/1/body[3]."
    )
    # Not unique: the engine decides which steps share an idempotency key.
    key = models.CharField("step id", max_length=40, db_index=True)
    agent = models.CharField(max_length=128)
    kind = models.CharField(max_length=32)
    status = models.CharField(
        max_length=16,
        choices=[(status.value, status.value) for status in StepStatus],
        default=StepStatus.PENDING.value,
    )
    attempts = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["run_id", "generation", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation", "place"], name="step_once_per_place"
            )
        ]
        indexes = [models.Index(fields=["agent", "status"], name="step_agent_status")]

    def __str__(self) -> str:
        return f"{self.place} {self.agent} ({self.status})"
