"""The blueprints app."""

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from blueprints.checks import (
    TAG,
    check_agent_limits,
    check_agents,
    check_database,
    check_project,
    check_secret_key,
    check_settings,
    check_wiring,
)


class BlueprintsConfig(AppConfig):
    """Register the system checks, and let migrations run without a timeout."""

    name = "blueprints"

    def ready(self) -> None:
        """Register the checks of `manage.py check`."""
        checks.register(check_project, TAG)
        # The others would fail without the settings of Swarm.
        if not check_project():
            for check in (
                *(check_wiring, check_agent_limits, check_settings),
                check_database,
            ):
                checks.register(check, TAG)
            for check in (check_agents, check_secret_key):
                checks.register(check, TAG, deploy=True)
        # Migrating a large table may take longer than the statement timeout.
        pre_migrate.connect(_lift_statement_timeout, sender=self)
        post_migrate.connect(_restore_statement_timeout, sender=self)


def _lift_statement_timeout(using: str, **_: Any) -> None:
    _on_postgresql(using, "SET statement_timeout = 0")


def _restore_statement_timeout(using: str, **_: Any) -> None:
    _on_postgresql(using, "RESET statement_timeout")


def _on_postgresql(using: str, sql: str) -> None:
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            cursor.execute(sql)
