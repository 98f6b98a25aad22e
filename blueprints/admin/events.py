"""Admin page: events."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from blueprints.admin.base import HistoryAdmin, names_of
from blueprints.models import RunEvent
from blueprints.models.events import kinds_text
from engine.run.journal.entries import FIELDS
from engine.run.journal.sentences import sentence


class KindFilter(admin.SimpleListFilter):
    """Find entries by the kind of any of their events."""

    title = "kind of an event"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return all kinds of events."""
        return [(kind, kind) for kind in FIELDS]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RunEvent]
    ) -> QuerySet[RunEvent]:
        """Return the entries with an event of the chosen kind."""
        if self.value() is None:
            return queryset
        return queryset.filter(kinds__contains=kinds_text([str(self.value())]))


@admin.register(RunEvent)
class RunEventAdmin(HistoryAdmin):
    """The entries of the archived journal, with their events."""

    list_display = ["run_id", "generation", "packed", "at"]
    list_filter = [KindFilter]
    search_fields = ["run__id"]
    readonly_fields = ["packed"]

    @admin.display(description="events")
    def packed(self, entry: RunEvent) -> SafeString:
        """Return a sentence for each event, with its address and its kind."""
        names = names_of(entry.run_id, entry.generation)
        lines = (
            (address, event[0], sentence(event, names))
            for address, event in entry.events()
        )
        return format_html_join(SafeString("<br>"), "{} {}: {}", lines)
