"""Statuses and their moves: the closed sets, on one page."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    PARKED = "parked"
    PASSED = "passed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


FINAL_RUN: Final = frozenset({RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED})
OPEN_RUN: Final = frozenset(RunStatus) - FINAL_RUN
OPEN_STEP: Final = frozenset(
    {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.PARKED}
)
FINAL_STEP: Final = frozenset(StepStatus) - OPEN_STEP

RUN_MOVES: Final[dict[RunStatus, frozenset[RunStatus]]] = {
    # One that can't be started fails; one whose Redis was lost is interrupted.
    RunStatus.PENDING: frozenset(
        {
            RunStatus.RUNNING,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
            RunStatus.INTERRUPTED,
        }
    ),
    RunStatus.RUNNING: frozenset(
        {
            RunStatus.PAUSED,
            RunStatus.INTERRUPTED,
            RunStatus.DONE,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
        }
    ),
    # A deadline goes on during a pause, so a paused run can fail.
    RunStatus.PAUSED: frozenset(
        {
            RunStatus.RUNNING,
            RunStatus.INTERRUPTED,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
        }
    ),
    RunStatus.INTERRUPTED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED}),
    RunStatus.DONE: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}


def can_move(old: RunStatus, new: RunStatus) -> bool:
    """Tell whether a run may go from one status to another."""
    return new in RUN_MOVES[old]
