"""The workers app."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    """Tells Django where the commands that start processes are."""

    name = "workers"
