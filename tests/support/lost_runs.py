"""Runs that Redis loses: an agent that notes its steps, and the loss and recovery."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flow_documents import seq
from rig import Rig, step

from blueprints.models import Run
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from workers.archive.archiver import Archiver
from workers.runs.reconciling import reconcile
from workers.steward.recoverer import Recoverer

CHAIN = seq(*[step() for _ in range(4)])


class Noting:
    """Answers a step with its input, and notes which steps it has made."""

    in_process = True

    def __init__(self) -> None:
        self.made: list[tuple[str, str, int]] = []

    def run(self, call: StepCall) -> Outcome:
        """Return the input."""
        self.made.append((call.place, call.step_id, call.attempt))
        return Outcome("passed", call.input)

    def times(self) -> Counter[str]:
        """Return how often each step was made, by its place."""
        return Counter(place for place, _, _ in self.made)


def lose(rig: Rig) -> None:
    """Empty the server, and compare."""
    rig.store.wire.call("FLUSHALL")
    reconcile(rig.store)


def recover(rig: Rig) -> None:
    """Do what the steward's thread does."""
    Recoverer(rig.store, lambda: True).recover()


def ended(rig: Rig, run: Run, **options: Any) -> Run:
    """Let a run go on to its end, and archive it."""
    rig.work_off(**options)
    Archiver(rig.store).turn()
    run.refresh_from_db()
    return run
