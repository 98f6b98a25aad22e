"""Admin page: runs."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from blueprints.admin.base import HistoryAdmin, names_of
from blueprints.authoring.answer import error_lines
from blueprints.models import Run
from blueprints.selectors.runs import run_error

HISTORY = {
    "step": "steps",
    "attempt": "attempts",
    "runevent": "events",
    "rungeneration": "generations",
}


@admin.register(Run)
class RunAdmin(HistoryAdmin):
    """The runs and their status."""

    list_display = ["id", "task", "status", "generation", "created_at", "finished_at"]
    list_filter = ["status", ("unreplayable", admin.EmptyFieldListFilter)]
    list_select_related = ["task"]
    search_fields = ["id", "program__id", "task__title", "task__blueprint_id"]
    date_hierarchy = "created_at"
    readonly_fields = ["history", "failure"]

    @admin.display(description="history")
    def history(self, run: Run) -> SafeString:
        """Return links to the steps, attempts, events and earlier generations of the run."""
        pages = (
            (f"{reverse(f'admin:blueprints_{name}_changelist')}?q={run.pk}", text)
            for name, text in HISTORY.items()
        )
        return format_html_join(SafeString(" "), '<a href="{}">{}</a>', pages)

    @admin.display(description="error in words")
    def failure(self, run: Run) -> SafeString | str:
        """Return the error of a run: text, step, line of the Blueprint's file, values."""
        error = run_error(run, names_of(run.pk, run.generation))
        return (
            format_html("<pre>{}</pre>", "\n".join(error_lines(error)))
            if error
            else "-"
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Load the large fields only for the page of one run."""
        return super().get_queryset(request).defer("ctx", "result")
