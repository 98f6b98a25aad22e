"""An attempt: one try at a step."""

from django.db import models

from blueprints.models.steps import Step


class Attempt(models.Model):
    """One try at a step, by one worker."""

    # Without an index of its own: that of `attempt_once_per_number` begins with it.
    step = models.ForeignKey(
        Step, on_delete=models.CASCADE, related_name="tries", db_index=False
    )
    number = models.PositiveIntegerField()
    # A step's status or an outcome's kind; without choices, since the engine adds kinds.
    status = models.CharField(max_length=16)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    worker = models.CharField(max_length=255, blank=True)
    stats = models.JSONField(
        null=True, blank=True, help_text="What it cost, as far as its agent told."
    )

    class Meta:
        ordering = ["step_id", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["step", "number"], name="attempt_once_per_number"
            )
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} ({self.status})"
