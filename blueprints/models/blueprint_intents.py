"""A Blueprint intent: the note of a change that is about to be made in the store."""

from django.db import models
from django.utils import timezone


class BlueprintIntent(models.Model):
    """One change under way; who finds it while nobody writes, settles it.

    `event` is the event to be written if the store made the change. `before` is what
    the store said when the note was written: head commit, archived, aliases.
    """

    # No foreign key: the Blueprint may not exist yet.
    blueprint_id = models.CharField("blueprint", primary_key=True, max_length=128)
    before = models.JSONField(null=True)
    event = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.blueprint_id
