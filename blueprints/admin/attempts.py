"""Admin page: attempts."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin, names_of
from blueprints.models import Attempt


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    """The tries at steps."""

    list_display = ["name", "number", "status", "worker", "started_at", "finished_at"]
    list_filter = ["status"]
    list_select_related = ["step"]
    search_fields = ["step__run__id", "step__key", "worker"]
    readonly_fields = ["name"]

    @admin.display(description="step", ordering="step__place")
    def name(self, attempt: Attempt) -> str:
        """Return the name of the step with its visit, or its place if it has none."""
        step = attempt.step
        return names_of(step.run_id, step.generation).name(step.place)
