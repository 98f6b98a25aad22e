"""The admin pages: one file per noun."""

from blueprints.admin.attempts import AttemptAdmin
from blueprints.admin.events import RunEventAdmin
from blueprints.admin.runs import RunAdmin
from blueprints.admin.steps import StepAdmin
from blueprints.admin.tasks import TaskAdmin

__all__ = ["AttemptAdmin", "RunAdmin", "RunEventAdmin", "StepAdmin", "TaskAdmin"]
