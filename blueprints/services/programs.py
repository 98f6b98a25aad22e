"""Keep programs."""

from blueprints import models
from engine.blueprint import Program


def program_keep(program: Program) -> str:
    """Keep a program unless it is there already; return its id."""
    id, rows = program.program_id, models.Program.objects
    # Most launches find it, and need not send it.
    if not rows.filter(pk=id).exists():
        row = models.Program(id=id, document=program.to_json())
        rows.bulk_create([row], ignore_conflicts=True)
    return id
