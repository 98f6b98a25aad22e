"""`manage.py runs outputs`: the outputs of a run, or the content of one."""

from __future__ import annotations

import json
from typing import Any, Final

from django.core.management.base import CommandParser

from blueprints.command_line import counted_as, typed
from blueprints.models import Run
from blueprints.selectors.outputs import output_content, run_output_records
from blueprints.selectors.steps import run_names
from engine.flow.spelling import hint_at
from engine.output_store import OutputMissing, OutputsAway
from engine.run.journal.outputs import shown_content
from workers.fleet.prerequisites import SetupFailed
from workers.terminal.kept_runs import Told
from workers.terminal.texts import one_line

SHOWN: Final = 60
"""Characters of a content that the list shows."""


def add_output_arguments(verb: str, parser: CommandParser) -> None:
    """Declare the arguments of `outputs`."""
    parser.add_argument(
        "id",
        metavar="OUTPUT",
        nargs="?",
        help="an output's id: print its content, as JSON",
    )


def show_outputs(run: Run, options: dict[str, Any]) -> Told:
    """Return the list of a run's outputs, or the content of one of them."""
    if options["id"] is not None:
        return _content(run, options["id"])
    records = list(run_output_records(run))
    names = run_names(run)
    rows = [
        {**one.to_json(), "name": names.name(one.place) if one.place else ""}
        for one in records
    ]
    count = counted_as(len(rows), "output")
    lines = [*map(_line, rows), f"{count} of run {run.pk}"]
    if rows:
        lines.append(f"Print one with: {typed(f'runs outputs {run.pk} OUTPUT')}")
    return {"run": run.pk, "outputs": rows}, "\n".join(lines)


def _content(run: Run, id: str) -> Told:
    records = {one.pk: one for one in run_output_records(run)}
    record = records.get(id)
    if record is None:
        hint = hint_at(id, records)
        more = f"; {hint}" if hint else ""
        listed = typed(f"runs outputs {run.pk}")
        raise SetupFailed(
            f"run {run.pk} has no output {id!r}{more}; list them with: {listed}"
        )
    try:
        text = output_content(record)
    except (OutputMissing, OutputsAway) as error:
        raise SetupFailed(f"output {id} can't be read: {error}") from None
    return {**record.to_json(), "value": json.loads(text)}, text


def _line(row: dict[str, Any]) -> str:
    event = row["event"]
    content = event["content"]
    what = event.get("name") or event.get("at") or ""
    words = (
        row["id"],
        event["type"],
        row["name"],
        row["producer_agent"]
        and f"({row['producer_agent']}, attempt {row['attempt']})",
        what,
        f"{content['size']} bytes" if "size" in content else "",
        one_line(shown_content(content, SHOWN)),
    )
    return "  ".join(word for word in words if word)
