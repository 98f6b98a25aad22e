"""Read the steps of a run that have failed, each with what it got and what it logged."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from blueprints.models import Attempt, Run, RunEvent, Step
from blueprints.models.events import events_of
from blueprints.selectors.outputs import is_log, log_text, run_outputs
from blueprints.selectors.run_journals import run_origin
from blueprints.selectors.runs import run_steps
from blueprints.selectors.steps import kept_value, seconds_of, step_report
from engine.run.place_names import PlaceNames
from engine.run.states import FAILED_STEP, StepStatus

LOG_LINES: Final = 5
_LANE: Final = re.compile(r"/lane\[(\d+)\]")


class _Kept:
    """What the journals keep of steps by place: inputs of last attempts, and logs."""

    def __init__(self, run: Run, places: set[str]) -> None:
        """Read the run's generation, then those that it has kept steps of."""
        self.inputs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, deque[dict[str, Any]]] = {}
        self.totals: dict[str, int] = {}
        row: Run | None = run
        while row is not None and places:
            places = places - self._read(row, places)
            row = run_origin(row)

    def _read(self, run: Run, places: set[str]) -> set[str]:
        """Return the places that a generation has details or a log of."""
        found = set()
        rows = RunEvent.objects.filter(
            run=run, generation=run.generation, kinds__contains=" details "
        )
        for data in rows.order_by("number").values_list("data", flat=True).iterator():
            for event in events_of(data):
                if event[0] != "details" or event[1] not in places:
                    continue
                _, place, _, given, size, *_ = event
                found.add(place)
                if size >= 0:
                    value = kept_value(given, size)
                    more = {"output": None, "missing": ""}
                    self.inputs[place] = {"input": value, "input_size": size, **more}
        for output in run_outputs(run):
            if output.place in places and is_log(output):
                lines = self.logs.setdefault(output.place, deque(maxlen=LOG_LINES))
                text = log_text(output)
                at = output.at.isoformat()
                lines.append({"at": at, "attempt": output.attempt, "text": text})
                self.totals[output.place] = self.totals.get(output.place, 0) + 1
                found.add(output.place)
        return found


def failed_steps(run: Run, names: PlaceNames) -> Iterator[dict[str, Any]]:
    """Yield the failed, lost and blocked steps of a run's generation as JSON objects.

    `lanes` are the indices of the lanes in which a step is, outermost first. `error`,
    `input`, `input_size` and `output` are those of its last attempt, as in `step_report`;
    `missing` says why there is no input. `log` has the last lines of `log_total`.
    """
    status = [*FAILED_STEP, StepStatus.BLOCKED]
    found = list(run_steps(run).filter(status__in=status))
    kept = _Kept(run, {step.place for step in found})
    for step in found:
        last = Attempt.objects.filter(step=step).order_by("-number").first()
        yield {
            "name": names.name(step.place),
            "place": step.place,
            "lanes": [int(lane) for lane in _LANE.findall(step.place)],
            "step_id": step.key,
            "agent": step.agent,
            "status": step.status,
            "attempts": step.attempts,
            "seconds": seconds_of(step),
            "error": last.error if last else "",
            **(kept.inputs.get(step.place) or _reported(run, step, names)),
            "log": list(kept.logs.get(step.place, ())),
            "log_total": kept.totals.get(step.place, 0),
        }


def _reported(run: Run, step: Step, names: PlaceNames) -> dict[str, Any]:
    """Return input and output of the last attempt, from the journal or from a replay."""
    report = step_report(run, step, names)
    last = report["attempts"][-1] if report["attempts"] else {}
    size = last.get("input_size")
    return {
        "input": last.get("input"),
        "input_size": size,
        "output": last.get("output"),
        "missing": "" if size is not None else report["missing"].get("input", ""),
    }
