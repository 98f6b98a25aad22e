"""Read API keys."""

from django.db.models import QuerySet

from blueprints.models.api_keys import ApiKey


def api_key_list() -> QuerySet[ApiKey]:
    """Return all keys with their users, the oldest first."""
    return ApiKey.objects.select_related("user")
