"""Admin page: runs."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from blueprints.admin.base import HistoryAdmin
from blueprints.models import Run


@admin.register(Run)
class RunAdmin(HistoryAdmin):
    """Where runs stand."""

    list_display = ["id", "task", "status", "generation", "created_at", "finished_at"]
    list_filter = ["status"]
    list_select_related = ["task"]
    search_fields = ["id", "program_id", "task__title", "task__blueprint_id"]
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Leaves the large fields in the database until a page shows them."""
        return super().get_queryset(request).defer("program", "ctx", "result")
