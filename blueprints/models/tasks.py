"""A task: one request to run a Blueprint."""

from functools import partial

from django.db import models
from django.utils import timezone

from blueprints.models.readable_json import ReadableJSONField
from engine.ids import new_id


class Task(models.Model):
    """One request to run a Blueprint; each execution of it is a run."""

    id = models.CharField(
        primary_key=True, max_length=40, default=partial(new_id, "T"), editable=False
    )
    blueprint_id = models.CharField("blueprint", max_length=128, db_index=True)
    title = models.CharField(max_length=200, blank=True)
    init_ctx = ReadableJSONField(
        "initial ctx", null=True, blank=True, help_text="What the launcher gave."
    )
    origin = ReadableJSONField(
        null=True,
        blank=True,
        help_text="The file of the Blueprint: {file, sha256}, of scripts also {lines}.",
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.title or f"{self.blueprint_id} ({self.id})"
