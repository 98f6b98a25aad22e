"""A Blueprint that is kept: what the store says of it now, as a row to search by."""

from django.db import models


class Blueprint(models.Model):
    """One Blueprint of the store; its row is an index, the store has the truth.

    `aliases` has for each name `commit`, `version`, `by`, `email`, `at` and `message`.
    """

    id = models.CharField(primary_key=True, max_length=128)
    head = models.ForeignKey(
        "BlueprintVersion", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    aliases = models.JSONField(default=dict, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    archived_by = models.CharField(max_length=200, blank=True)
    archived_why = models.TextField(blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="When its head was made.")

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["-changed_at", "id"], name="blueprint_newest_first")
        ]
        permissions = [
            ("publish_blueprint", "Can move the aliases of a Blueprint"),
            ("archive_blueprint", "Can archive and unarchive a Blueprint"),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_archived(self) -> bool:
        """Whether it can be read and not changed."""
        return self.archived_at is not None
