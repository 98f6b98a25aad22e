"""The tables: one file per noun."""

from blueprints.models.api_keys import ApiKey
from blueprints.models.attempts import Attempt
from blueprints.models.blueprint_events import BlueprintEvent
from blueprints.models.blueprint_intents import BlueprintIntent
from blueprints.models.blueprint_versions import BlueprintVersion
from blueprints.models.blueprints import Blueprint
from blueprints.models.deleted_runs import DeletedRun
from blueprints.models.events import RunEvent
from blueprints.models.installations import Installation
from blueprints.models.outputs import OutputContent, OutputRecord, OutputReference
from blueprints.models.programs import Program
from blueprints.models.run_generations import RunGeneration
from blueprints.models.run_snapshots import RunSnapshot
from blueprints.models.runs import Run
from blueprints.models.steps import Step
from blueprints.models.tasks import Task

__all__ = [
    "ApiKey",
    "Attempt",
    "Blueprint",
    "BlueprintEvent",
    "BlueprintIntent",
    "BlueprintVersion",
    "DeletedRun",
    "Installation",
    "OutputContent",
    "OutputRecord",
    "OutputReference",
    "Program",
    "Run",
    "RunEvent",
    "RunGeneration",
    "RunSnapshot",
    "Step",
    "Task",
]
