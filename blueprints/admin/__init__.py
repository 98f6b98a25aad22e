"""The admin pages: one file per noun."""

from blueprints.admin.api_keys import ApiKeyAdmin
from blueprints.admin.attempts import AttemptAdmin
from blueprints.admin.blueprint_events import BlueprintEventAdmin
from blueprints.admin.blueprint_versions import BlueprintVersionAdmin
from blueprints.admin.blueprints import BlueprintAdmin
from blueprints.admin.deleted_runs import DeletedRunAdmin
from blueprints.admin.events import RunEventAdmin
from blueprints.admin.outputs import OutputRecordAdmin
from blueprints.admin.programs import ProgramAdmin
from blueprints.admin.run_generations import RunGenerationAdmin
from blueprints.admin.runs import RunAdmin
from blueprints.admin.steps import StepAdmin
from blueprints.admin.tasks import TaskAdmin

__all__ = [
    "ApiKeyAdmin",
    "AttemptAdmin",
    "BlueprintAdmin",
    "BlueprintEventAdmin",
    "BlueprintVersionAdmin",
    "DeletedRunAdmin",
    "OutputRecordAdmin",
    "ProgramAdmin",
    "RunAdmin",
    "RunEventAdmin",
    "RunGenerationAdmin",
    "StepAdmin",
    "TaskAdmin",
]
