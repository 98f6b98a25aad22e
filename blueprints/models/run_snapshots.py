"""The snapshot with which a generation of a run begins, if it does not begin anew."""

from django.db import models

from blueprints.models.runs import Run


class RunSnapshot(models.Model):
    """The JSON of a snapshot (engine/run/replay/snapshot.py); one for each generation."""

    # Without an index of its own: that of `snapshot_once_per_generation` begins with it.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="snapshots", db_index=False
    )
    generation = models.PositiveIntegerField()
    data = models.BinaryField()
    origin = models.CharField(
        max_length=40, blank=True, help_text="The run of which it was a part."
    )
    origin_generation = models.PositiveIntegerField(default=0)
    beginning = models.JSONField(
        null=True, help_text="What it left out of that: engine/run/replay/lineage.py."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation"], name="snapshot_once_per_generation"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} generation {self.generation}"
