"""An API key: a secret by which a service or a person uses the API."""

from enum import StrEnum
from typing import Final

from django.conf import settings
from django.db import models
from django.utils import timezone


class Right(StrEnum):
    """What a user, a group or a key may do with Blueprints."""

    VIEW = "view"
    EDIT = "edit"
    PUBLISH = "publish"
    ARCHIVE = "archive"

    @property
    def permission(self) -> str:
        """The permission of Django that gives a user this right."""
        return f"blueprints.{PERMISSIONS[self]}"


# The first two are those that Django makes for every table.
PERMISSIONS: Final = {
    Right.VIEW: "view_blueprint",
    Right.EDIT: "change_blueprint",
    Right.PUBLISH: "publish_blueprint",
    Right.ARCHIVE: "archive_blueprint",
}


class ApiKey(models.Model):
    """A key, known by its prefix; only a hash of its secret is stored."""

    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(
        max_length=64, editable=False, help_text="sha-256 of the whole key."
    )
    name = models.CharField(max_length=100, help_text="Who or what uses it.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="api_keys",
        help_text="It may never do more than this user; empty for a service.",
    )
    scopes = models.JSONField(default=list, help_text="The rights that it has.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def rights(self) -> frozenset[Right]:
        """The rights of its scopes; a scope that no longer exists gives none."""
        return frozenset(right for right in Right if right.value in self.scopes)

    @property
    def state(self) -> str:
        """Return `revoked`, `expired` or `valid`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return "expired"
        return "valid"
