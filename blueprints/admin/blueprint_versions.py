"""Admin page: versions of Blueprints."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from blueprints.admin.base import HistoryAdmin
from blueprints.models import BlueprintVersion


@admin.register(BlueprintVersion)
class BlueprintVersionAdmin(HistoryAdmin):
    """The commits of Blueprints, with what compiler and lints say of them."""

    list_display = ["blueprint_id", "number", "label", "verdict", "author_name", "at"]
    list_filter = ["verdict"]
    search_fields = ["blueprint__id", "version", "commit", "label", "message"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[BlueprintVersion]:
        """Return the rows without their large fields, which the page of one loads."""
        return super().get_queryset(request).defer("findings", "identities")
