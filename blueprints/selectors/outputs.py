"""Read the output events of a run's steps from its archived journal, and its outputs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from blueprints.conf import output_store
from blueprints.models import OutputRecord, Run, RunEvent
from blueprints.models.events import events_of
from engine.output_store import OutputMissing
from engine.run.journal.output_records import FINAL_CTX
from engine.run.states import FINAL_RUN


@dataclass(frozen=True, slots=True)
class EmittedOutput:
    """An output event of an attempt, in wire form; `at` is its approximate time.

    `number` is that of its journal entry.
    """

    place: str
    attempt: int
    at: datetime
    wire: dict[str, Any]
    number: int = 0


def run_outputs(run: Run, after: int = 0) -> Iterator[EmittedOutput]:
    """Yield the output events of a run's generation, in order.

    With `after` only those of journal entries with a larger number.
    """
    events = RunEvent.objects.filter(
        run=run, generation=run.generation, says=True, number__gt=after
    )
    found = events.order_by("number").values_list("number", "at", "data")
    for number, at, data in found.iterator():
        for event in events_of(data):
            match event:
                # Newer workers may add fields.
                case ["output", place, attempt, _, wires, *_]:
                    for wire in wires:
                        yield EmittedOutput(place, attempt, at, wire, number)


def run_output_records(run: Run) -> QuerySet[OutputRecord]:
    """Return the outputs of a run, in the order of its journal."""
    found = OutputRecord.objects.filter(run=run)
    return found.order_by("generation", "number", "pk")


def outputs_unsure() -> str:
    """Return why references of an open run may be missing here, empty for no reason."""
    broken = Run.objects.exclude(status__in=FINAL_RUN).exclude(unreplayable="")
    found = broken.order_by("pk").values_list("pk", flat=True).first()
    return f"the journal of run {found}, which is open, has a gap" if found else ""


def run_ctx_output(run: Run) -> OutputRecord | None:
    """Return the output that is the final Ctx of a run's generation.

    A run has one where its Ctx is too large for its row.
    """
    found = OutputRecord.objects.filter(
        run=run, generation=run.generation, event__type=FINAL_CTX
    )
    return found.first()


def output_content(record: OutputRecord) -> bytes:
    """Return an output as JSON text, or the bytes of a file.

    Raises OutputMissing, OutputsAway.
    """
    content = record.event["content"]
    if "sha256" in content:
        return output_store().get(content["sha256"])
    if "value" not in content:
        raise OutputMissing(
            "it was too large for the journal; the step's result has it"
        )
    return json.dumps(content["value"], ensure_ascii=False).encode()


@dataclass(slots=True)
class StepOutputs:
    """The artifacts and the final of a step's latest attempt, and its latest progress.

    `parts` are ContentRefs by name; `final` is the wire form of the last final, None
    before the first. A content too large for the journal is `{"kind": "omitted", "size"}`;
    the step's result contains it.
    """

    stage: str = ""
    note: str = ""
    attempt: int = 0
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    final: dict[str, Any] | None = None


def step_outputs(run: Run) -> dict[str, StepOutputs]:
    """Return the outputs of each step, by its place."""
    found: dict[str, StepOutputs] = {}
    for output in run_outputs(run):
        step, wire = found.setdefault(output.place, StepOutputs()), output.wire
        if output.attempt > step.attempt:
            step.attempt, step.parts, step.final = output.attempt, {}, None
        if wire["type"] == "progress":
            step.stage, step.note = wire["stage"], wire["note"]
        elif output.attempt == step.attempt:
            if wire["type"] == "artifact":
                step.parts[wire["name"]] = wire["content"]
            elif wire["type"] == "final":
                step.final = wire
    return found


def run_log(run: Run, *, newest: int) -> tuple[list[EmittedOutput], int]:
    """Return the newest log lines of a run, oldest first, and the number of all."""
    lines: list[EmittedOutput] = []
    total = 0
    for output in run_outputs(run):
        if is_log(output):
            total += 1
            lines.append(output)
            if len(lines) > 2 * newest:
                del lines[:newest]
    return lines[-newest:], total


def is_log(output: EmittedOutput) -> bool:
    """Return whether an output event is a line of a step's log."""
    return output.wire["type"] in ("log", "truncated")


def log_text(output: EmittedOutput) -> str:
    """Return the text of a log line."""
    if output.wire["type"] == "truncated":
        return f"(output truncated: {output.wire['why']})"
    return str(output.wire["text"])
