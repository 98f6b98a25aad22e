"""Admin page: events."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import RunEvent


@admin.register(RunEvent)
class RunEventAdmin(HistoryAdmin):
    """The archived journal."""

    list_display = ["run_id", "generation", "number", "kind", "at"]
    list_filter = ["kind"]
    search_fields = ["run__id"]
