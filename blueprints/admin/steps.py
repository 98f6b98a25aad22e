"""Admin page: steps."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import Step


@admin.register(Step)
class StepAdmin(HistoryAdmin):
    """The steps of runs."""

    list_display = ["run_id", "place", "agent", "kind", "status", "attempts"]
    list_filter = ["status", "kind"]
    search_fields = ["run__id", "key", "agent"]
