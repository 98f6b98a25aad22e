"""A Blueprint event: who did what to a Blueprint, why, from which version to which."""

from django.conf import settings
from django.db import models
from django.utils import timezone

VERBS = (
    *("registered", "imported", "rolled-back", "archived", "unarchived"),
    *("alias-set", "alias-removed", "reindexed"),
)


class BlueprintEvent(models.Model):
    """One thing that was done; it stays if its Blueprint or user is removed."""

    # No foreign key, so that an event stays when the index is made anew.
    blueprint_id = models.CharField("blueprint", max_length=128)
    verb = models.CharField(max_length=16, choices=[(verb, verb) for verb in VERBS])
    actor_name = models.CharField(max_length=200)
    actor_email = models.CharField(max_length=200)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    key = models.CharField(
        max_length=64, blank=True, help_text="The API key that was used."
    )
    reason = models.TextField(blank=True)
    old_commit = models.CharField(max_length=40, blank=True)
    old_version = models.CharField(max_length=71, blank=True)
    new_commit = models.CharField(max_length=40, blank=True)
    new_version = models.CharField(max_length=71, blank=True)
    data = models.JSONField(
        default=dict, blank=True, help_text="Alias, label, whether it was forced."
    )
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["blueprint_id", "-id"], name="event_of_blueprint")
        ]

    def __str__(self) -> str:
        return f"{self.blueprint_id} {self.verb} by {self.actor_name}"
