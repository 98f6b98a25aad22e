"""The base class of all admin pages, and the names of steps that they show."""

from functools import lru_cache
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from blueprints.models import Run
from blueprints.selectors.run_generations import run_generations
from blueprints.selectors.steps import run_names
from engine.run.place_names import PlaceNames


@lru_cache(maxsize=128)
def names_of(run_id: str, generation: int) -> PlaceNames:
    """Return the names of a generation's steps, which never change; a page has many."""
    run = Run.objects.only("program", "generation").get(pk=run_id)
    rows = {row.generation: row for row in run_generations(run)}
    return run_names(rows.get(generation, run))


class HistoryAdmin(admin.ModelAdmin):
    """A read-only page: only the archive writes history."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Return False: history can't be added."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: history can't be changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: history can't be deleted."""
        return False
