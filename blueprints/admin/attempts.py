"""Admin page: attempts."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import Attempt


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    """The tries at steps."""

    list_display = ["step", "number", "status", "worker", "started_at", "finished_at"]
    list_filter = ["status"]
    list_select_related = ["step"]
    search_fields = ["step__run__id", "step__key", "worker"]
