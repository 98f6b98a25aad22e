"""What answers of the routes for Blueprints consist of."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from blueprints.models.blueprint_events import VERBS
from blueprints.models.blueprint_versions import VERDICTS


class NullableText(serializers.CharField):
    """A text of a row, null where the row has an empty one."""

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_null=True, **more)

    def to_representation(self, value: str) -> str | None:  # type: ignore[override]
        """Return the text or None."""
        return super().to_representation(value) or None


class AuthorSerializer(serializers.Serializer[Any]):
    """Who made a commit."""

    name = serializers.CharField(source="author_name")
    email = serializers.CharField(source="author_email")


class VersionSerializer(serializers.Serializer[Any]):
    """A commit of a Blueprint's history, and what is known of its document."""

    commit = serializers.CharField(help_text="What If-Match names.")
    number = serializers.IntegerField(help_text="1 for the first commit.")
    version = NullableText(help_text="sha256: and the hash of the document.")
    label = NullableText(help_text="A semantic version.")
    restores = NullableText(help_text="The older commit that it restores.")
    author = AuthorSerializer(source="*")
    message = serializers.CharField()
    at = serializers.DateTimeField()
    verdict = serializers.ChoiceField(
        choices=VERDICTS, help_text="BLOCK: stored by force, can't be launched."
    )
    description = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField(), source="tag_list")
    agents = serializers.IntegerField()
    nodes = serializers.IntegerField()
    form = NullableText(help_text="The form of its source, null for JSON.")
    fault = NullableText(help_text="Why the commit can't be read.")


class ArchivedSerializer(serializers.Serializer[Any]):
    """Who archived a Blueprint."""

    at = serializers.DateTimeField(source="archived_at")
    by = serializers.CharField(source="archived_by")
    message = serializers.CharField(source="archived_why")


class AliasSerializer(serializers.Serializer[Any]):
    """What an alias names, and who moved it there."""

    commit = serializers.CharField()
    version = serializers.CharField()
    by = serializers.CharField()
    email = serializers.CharField()
    at = serializers.DateTimeField()
    message = serializers.CharField()


class BlueprintSerializer(serializers.Serializer[Any]):
    """A Blueprint and its head."""

    id = serializers.CharField()
    head = VersionSerializer(allow_null=True)
    archived = serializers.SerializerMethodField()
    aliases = serializers.DictField(child=AliasSerializer())
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()

    def get_archived(self, row: Any) -> ArchivedSerializer(allow_null=True):  # type: ignore[valid-type]
        """Return who archived it, None if it is not archived."""
        return ArchivedSerializer(row).data if row.is_archived else None


class EventSerializer(serializers.Serializer[Any]):
    """What was done to a Blueprint: by whom, why, from which version to which.

    `old` and `new` are the head, or what the alias names, before and after.
    """

    number = serializers.IntegerField(source="pk")
    verb = serializers.ChoiceField(choices=VERBS)
    at = serializers.DateTimeField()
    by = serializers.CharField(source="actor_name")
    email = serializers.CharField(source="actor_email")
    key = NullableText(help_text="The prefix of the API key that was used.")
    reason = serializers.CharField()
    old_commit = NullableText()
    old_version = NullableText()
    new_commit = NullableText()
    new_version = NullableText()
    data = serializers.DictField(
        help_text="`label`, `alias` and `forced`, if any; of `reindexed` the `count` of"
        " differences, and the first `differences` as texts."
    )


class DocumentField(serializers.JSONField):
    """A document: any JSON object, whose shape `blueprint schema` prints."""


class FindingsField(serializers.ListField):
    """Findings of compiler and lints, as `blueprint lint --json` writes them."""

    child = serializers.DictField()


class NamedVersionSerializer(serializers.Serializer[Any]):
    """Which version of which Blueprint."""

    id = serializers.CharField(source="blueprint_id")
    commit = serializers.CharField()
    version = serializers.CharField()
    number = serializers.IntegerField()
    label = NullableText()
    forced = serializers.BooleanField(help_text="It has errors: it can't be launched.")


class RegisteredSerializer(NamedVersionSerializer):
    """The head after a change."""

    seeded = serializers.BooleanField(help_text="Whether it is a new commit.")
    findings = FindingsField()


class SourceSerializer(serializers.Serializer[Any]):
    """What a document was built from."""

    form = serializers.CharField()
    text = serializers.CharField()
    parameters = serializers.DictField()
