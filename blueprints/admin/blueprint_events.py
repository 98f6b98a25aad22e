"""Admin page: what was done to Blueprints."""

from django.contrib import admin

from blueprints.admin.base import HistoryAdmin
from blueprints.models import BlueprintEvent


@admin.register(BlueprintEvent)
class BlueprintEventAdmin(HistoryAdmin):
    """Who did what to a Blueprint, and why."""

    list_display = ["blueprint_id", "verb", "actor_name", "reason", "at"]
    list_filter = ["verb"]
    search_fields = ["blueprint_id", "actor_name", "actor_email", "reason"]
