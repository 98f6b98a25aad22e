"""The blueprints app."""

from django.apps import AppConfig
from django.core import checks

from blueprints.checks import check_agents, check_wiring


class BlueprintsConfig(AppConfig):
    """Registers the system checks."""

    name = "blueprints"

    def ready(self) -> None:
        """Registers what `manage.py check` has to prove."""
        checks.register(check_wiring)
        checks.register(check_agents, deploy=True)
