"""Admin page: outputs."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import OutputRecord


@admin.register(OutputRecord)
class OutputRecordAdmin(HistoryAdmin):
    """The outputs that runs keep, and who gave them."""

    list_display = ["id", "run_id", "place", "producer_agent", "type", "at"]
    search_fields = ["id", "run__id", "task_id", "producer_agent"]
    date_hierarchy = "at"

    @admin.display
    def type(self, record: OutputRecord) -> str:
        """Return what it is: a final, a named part or a value."""
        return str(record.event["type"])
