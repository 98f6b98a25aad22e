"""A version of a Blueprint: one commit of its history."""

from collections.abc import Iterable

from django.db import models

from blueprints.models.blueprints import Blueprint

BLOCK = "BLOCK"
LARGE = ("findings", "identities")
"""The columns of a version that lists leave out."""
VERDICTS = ("OK", "WARN", BLOCK)


def tags_text(tags: Iterable[str]) -> str:
    """Return the text of the `tags` column: each tag on a line of its own."""
    lines = [" ".join(tag.split()) for tag in tags]
    return "\n".join(["", *dict.fromkeys(filter(None, lines)), ""])


class BlueprintVersion(models.Model):
    """One commit; the same `version`, the hash of a document, may be several commits.

    `findings` are those of compiler and lints when it was indexed, `identities` the
    stable ids of its nodes by place. A `fault` says why the commit can't be read.
    """

    # Without an index of its own: that of `version_once_per_commit` begins with it.
    blueprint = models.ForeignKey(
        Blueprint, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    commit = models.CharField(max_length=40)
    number = models.PositiveIntegerField(help_text="1 for the first commit.")
    version = models.CharField(max_length=71, blank=True, help_text="sha256:…")
    label = models.CharField(max_length=200, blank=True)
    restores = models.CharField(
        max_length=40, blank=True, help_text="The older commit that it restores."
    )
    author_name = models.CharField(max_length=200, blank=True)
    author_email = models.CharField(max_length=200, blank=True)
    message = models.TextField(blank=True)
    at = models.DateTimeField()
    verdict = models.CharField(
        max_length=5, choices=[(one, one) for one in VERDICTS], default="OK"
    )
    findings = models.JSONField(default=list, blank=True)
    identities = models.JSONField(default=dict, blank=True)
    description = models.TextField(blank=True)
    tags = models.TextField(blank=True, default="\n")
    agents = models.PositiveIntegerField(default=0, help_text="How many it has.")
    nodes = models.PositiveIntegerField(default=0, help_text="How many its flow has.")
    form = models.CharField(
        max_length=16, blank=True, help_text="The form its source is written in."
    )
    fault = models.TextField(blank=True)

    class Meta:
        ordering = ["blueprint_id", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["blueprint", "commit"], name="version_once_per_commit"
            )
        ]
        indexes = [
            models.Index(fields=["blueprint", "-number"], name="version_newest_first"),
            models.Index(fields=["blueprint", "version"], name="version_by_hash"),
            models.Index(fields=["label"], name="version_by_label"),
        ]

    def __str__(self) -> str:
        return f"{self.blueprint_id} #{self.number}"

    @property
    def forced(self) -> bool:
        """Whether it was stored in spite of errors, so that it can't be launched."""
        return self.verdict == BLOCK

    @property
    def known_identities(self) -> dict[str, str] | None:
        """The stored ids of its nodes by place, None without any."""
        return self.identities or None

    @property
    def tag_list(self) -> list[str]:
        """The tags of the document."""
        return [tag for tag in self.tags.split("\n") if tag]
