"""Admin page: deleted runs."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import DeletedRun


@admin.register(DeletedRun)
class DeletedRunAdmin(HistoryAdmin):
    """What is left of runs that were deleted."""

    list_display = ["id", "blueprint", "status", "finished_at", "deleted_by"]
    list_filter = ["status"]
    search_fields = ["id", "blueprint", "title", "deleted_by"]
    date_hierarchy = "deleted_at"
