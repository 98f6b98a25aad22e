"""The project: settings, the Celery app, URLs."""

import sys

from swarm_project.project import choose_settings, refuse_namesakes

# Before Celery's app, which reads the variable, and before our packages are imported.
choose_settings()
refuse_namesakes(sys.path)

# Celery's tasks find their app through this import, in every process.
from swarm_project.celery import app as celery_app  # noqa: E402

__all__ = ["celery_app"]
