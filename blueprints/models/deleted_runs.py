"""A deleted run: what is left of a run that was deleted."""

from django.db import models


class DeletedRun(models.Model):
    """A run that is no longer here: what it was, and who deleted it when.

    Blueprint, version and task are texts, since they may be gone as well.
    """

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    task = models.CharField(max_length=40)
    title = models.CharField(max_length=200, blank=True)
    blueprint = models.CharField(max_length=128, db_index=True)
    version = models.CharField(max_length=71, blank=True, help_text="sha256:…")
    program = models.CharField(max_length=64, help_text="sha-256 of its program.")
    status = models.CharField(max_length=16)
    generation = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    journal_number = models.PositiveBigIntegerField(default=0)
    journal_hash = models.BinaryField(
        default=b"", help_text="The hash of its journal's last row."
    )
    deleted_by = models.CharField(max_length=200)
    deleted_at = models.DateTimeField()
    is_complete = models.BooleanField(
        default=False, help_text="Whether all its rows are gone."
    )

    class Meta:
        ordering = ["-deleted_at", "-id"]
        indexes = [models.Index(fields=["-deleted_at", "-id"], name="deleted_newest")]

    def __str__(self) -> str:
        return f"{self.id} (deleted)"
