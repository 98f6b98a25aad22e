"""Admin page: tasks."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import Task


@admin.register(Task)
class TaskAdmin(HistoryAdmin):
    """The requests to run Blueprints."""

    list_display = ["id", "title", "blueprint_id", "created_at"]
    search_fields = ["id", "title", "blueprint_id"]
    date_hierarchy = "created_at"
