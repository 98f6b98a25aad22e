"""Admin page: Blueprints that are kept."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from blueprints.admin.base import HistoryAdmin
from blueprints.models import Blueprint


@admin.register(Blueprint)
class BlueprintAdmin(HistoryAdmin):
    """The Blueprints with their newest versions."""

    list_display = ["id", "head", "changed_at", "archived_at"]
    search_fields = ["id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Blueprint]:
        """Return the rows with their heads, without the large fields of these."""
        rows = super().get_queryset(request).select_related("head")
        return rows.defer("head__findings", "head__identities")
