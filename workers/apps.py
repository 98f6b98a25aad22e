"""The workers app."""

from django.apps import AppConfig
from django.core import checks

from blueprints.checks import check_project


class WorkersConfig(AppConfig):
    """Tells Django where the commands that start processes are."""

    name = "workers"

    def ready(self) -> None:
        """Register the check that finds the app `blueprints` missing."""
        checks.register(check_project)
