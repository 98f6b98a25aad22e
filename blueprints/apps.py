"""The blueprints app."""

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from blueprints.checks import (
    check_agent_limits,
    check_agents,
    check_numbers,
    check_secret_key,
    check_wiring,
)


class BlueprintsConfig(AppConfig):
    """Registers the system checks and gives migrations the time they need."""

    name = "blueprints"

    def ready(self) -> None:
        """Registers what `manage.py check` has to prove."""
        checks.register(check_wiring)
        checks.register(check_agents, deploy=True)
        checks.register(check_agent_limits)
        checks.register(check_secret_key, deploy=True)
        checks.register(check_numbers)
        # A migration of a large table takes longer than any statement of a run may.
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
