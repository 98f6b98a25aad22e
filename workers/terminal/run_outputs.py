"""`manage.py runs outputs`: the outputs of a run, or the content of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandParser

from blueprints.command_line import counted_as, file_to_write, typed
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
        help="an output's id: print its content, as JSON or the text of a file",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=file_to_write,
        metavar="FILE",
        help="write the content into a file instead",
    )


def show_outputs(run: Run, options: dict[str, Any]) -> Told:
    """Return the list of a run's outputs, or the content of one of them."""
    if options["id"] is not None:
        return _content(run, options["id"], options["output"])
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


def _content(run: Run, id: str, path: Path | None) -> Told:
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
        content = output_content(record)
        if path is not None:
            path.write_bytes(content)
            said = f"output {id} is in {path} ({len(content)} bytes)"
            return {**record.to_json(), "file": str(path)}, said
        text = content.decode()
    except UnicodeDecodeError:
        raise SetupFailed(f"output {id} is no text: write it with -o FILE") from None
    except (OutputMissing, OutputsAway, OSError) as error:
        raise SetupFailed(f"output {id} can't be read: {error}") from None
    is_file = record.event["content"]["kind"] == "file_ref"
    return {**record.to_json(), "value": text if is_file else json.loads(text)}, text


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
