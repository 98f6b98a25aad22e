"""The closed sets of statuses."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """The status of one generation of a run."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """The status of a step."""

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
FAILED_STEP: Final = frozenset({StepStatus.FAILED, StepStatus.LOST})
