"""An earlier generation of a run; the run's own row has the newest."""

from django.db import models

from blueprints.models.runs import GenerationColumns, Run


class RunGeneration(GenerationColumns):
    """The columns of a generation that a later one followed; (run, generation) is unique."""

    # Without an index of its own: that of `generation_once_per_run` begins with it.
    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="generations", db_index=False
    )

    class Meta:
        ordering = ["run_id", "generation"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation"], name="generation_once_per_run"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} generation {self.generation} ({self.status})"
