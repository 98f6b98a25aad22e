"""Keep programs."""

from datetime import timedelta
from typing import Final

from django.utils import timezone

from blueprints import models
from engine.blueprint import Program

RECENT: Final = timedelta(hours=12)
"""Less than how long an unused program stays (blueprints/services/retention.py)."""


def program_keep(program: Program) -> str:
    """Keep a program unless it is there already; return its id."""
    id, rows = program.program_id, models.Program.objects
    now = timezone.now()
    # Most launches find it, and need not send it.
    if rows.filter(pk=id, created_at__gt=now - RECENT).exists():
        return id
    # An old one is marked as used, so that nobody deletes it before the run has its row.
    if not rows.filter(pk=id).update(created_at=now):
        row = models.Program(id=id, document=program.to_json())
        rows.bulk_create([row], ignore_conflicts=True)
    return id
