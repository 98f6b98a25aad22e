"""The tables: one file per noun."""

from blueprints.models.attempts import Attempt
from blueprints.models.events import RunEvent
from blueprints.models.installations import Installation
from blueprints.models.runs import Run
from blueprints.models.steps import Step
from blueprints.models.tasks import Task

__all__ = ["Attempt", "Installation", "Run", "RunEvent", "Step", "Task"]
