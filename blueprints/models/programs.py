"""A program: what the compiler made of a Blueprint, kept once for all its runs."""

from django.db import models
from django.utils import timezone

from blueprints.models.readable_json import ReadableJSONField


class Program(models.Model):
    """One compiled program; its id is the hash of its content."""

    id = models.CharField(
        primary_key=True, max_length=64, help_text="sha-256 of the program."
    )
    document = ReadableJSONField("program as JSON")
    created_at = models.DateTimeField(
        "kept since",
        default=timezone.now,
        help_text="When it was kept, or half a day or more later used again.",
    )

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.id
