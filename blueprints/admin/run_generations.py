"""Admin page: the earlier generations of runs."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from blueprints.admin.base import HistoryAdmin
from blueprints.models import RunGeneration


@admin.register(RunGeneration)
class RunGenerationAdmin(HistoryAdmin):
    """The generations that a later one of their run followed."""

    list_display = ["run_id", "generation", "status", "started_at", "finished_at"]
    list_filter = ["status"]
    search_fields = ["run__id", "program__id", "reason"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RunGeneration]:
        """Load the large fields only for the page of one generation."""
        return super().get_queryset(request).defer("ctx", "result")
