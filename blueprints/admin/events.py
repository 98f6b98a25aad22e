"""Admin page: events."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from blueprints.admin.base import HistoryAdmin
from blueprints.models import RunEvent
from blueprints.models.events import kinds_text
from engine.flow import dump_compact
from engine.run.events import FIELDS


class KindFilter(admin.SimpleListFilter):
    """Finds an entry by any event it packs, not only by the one it is called by."""

    title = "kind of an event"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offers every kind there is."""
        return [(kind, kind) for kind in FIELDS]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[RunEvent]
    ) -> QuerySet[RunEvent]:
        """Returns the entries that pack an event of the kind."""
        if self.value() is None:
            return queryset
        return queryset.filter(kinds__contains=kinds_text([str(self.value())]))


@admin.register(RunEvent)
class RunEventAdmin(HistoryAdmin):
    """The archived journal: entries, and what each of them packs."""

    list_display = ["run_id", "generation", "packed", "at"]
    list_filter = [KindFilter]
    search_fields = ["run__id"]
    readonly_fields = ["packed"]

    @admin.display(description="events")
    def packed(self, entry: RunEvent) -> SafeString:
        """Returns a line an event, by its address."""
        lines = (
            (address, event.pop("kind"), event.pop("place", ""), dump_compact(event))
            for address, event in entry.events()
        )
        shown = ((at, kind, place, rest[:200]) for at, kind, place, rest in lines)
        return format_html_join(SafeString("<br>"), "{} {} {} {}", shown)
