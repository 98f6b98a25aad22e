"""Read the programs of runs."""

from blueprints.models import Run, RunGeneration
from blueprints.models.readable_json import readable
from engine.blueprint import Program


def run_program(run: Run | RunGeneration) -> Program:
    """Return the program of a run; raise ValueError if it can't be read."""
    return Program.from_json(readable(run.program.document))
