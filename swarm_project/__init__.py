"""Introduces the floors to each other: settings, the Celery app, URLs."""

# Celery's tasks find their app through this import, whichever process they run in.
from swarm_project.celery import app as celery_app

__all__ = ["celery_app"]
