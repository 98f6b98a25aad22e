"""The snapshot with which a generation of a run begins, if it does not begin anew."""

from django.db import models

from blueprints.models.runs import Run


class RunSnapshot(models.Model):
    """The JSON of a snapshot (engine/run/replay/snapshot.py); one for each generation."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="snapshots")
    generation = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation"], name="snapshot_once_per_generation"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} generation {self.generation}"
