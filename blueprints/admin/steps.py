"""Admin page: steps."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin, names_of
from blueprints.models import Step


@admin.register(Step)
class StepAdmin(HistoryAdmin):
    """The steps of runs."""

    list_display = ["run_id", "name", "agent", "kind", "status", "attempts"]
    list_filter = ["status", "kind"]
    search_fields = ["run__id", "key", "agent"]
    readonly_fields = ["name"]

    @admin.display(ordering="place")
    def name(self, step: Step) -> str:
        """Return the name of the step with its visit, or its place if it has none."""
        return names_of(step.run_id, step.generation).name(step.place)
