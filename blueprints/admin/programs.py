"""Admin page: programs."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from blueprints.admin.base import HistoryAdmin
from blueprints.models import Program


@admin.register(Program)
class ProgramAdmin(HistoryAdmin):
    """What the compiler made of Blueprints, once for all runs of it."""

    list_display = ["id", "created_at"]
    search_fields = ["id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Program]:
        """Return the rows without their large field, which the page of one loads."""
        return super().get_queryset(request).defer("document")
