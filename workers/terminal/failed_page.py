"""`manage.py runs show RUN --failed`: each failed step with its input, error and log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from shlex import quote
from typing import Any, Final

from blueprints.command_line import counted_as, typed
from blueprints.models import Run
from blueprints.selectors.failed_steps import failed_steps
from blueprints.selectors.runs import run_error
from blueprints.selectors.steps import run_names
from engine.run.journal.entries import MOST_INPUT
from engine.run.states import RunStatus
from workers.terminal.kept_runs import Told
from workers.terminal.run_pages import LogTexts, error_lines, value_lines, wrapped
from workers.terminal.run_view import SIGNS
from workers.terminal.texts import clipped, duration

SHOWN: Final = 20


def show_failed(run: Run, width: int) -> Told:
    """Return the failed steps of a run, and its error."""
    names = run_names(run)
    error, steps = run_error(run, names), list(failed_steps(run, names))
    data = {"run": run.pk, "status": run.status, "error": error, "failed": steps}
    return data, "\n".join(_page(data, width))


def _page(report: Mapping[str, Any], width: int) -> Iterator[str]:
    run, steps = report["run"], report["failed"]
    yield f"run {run}  {report['status']}"
    yield from error_lines(report["error"], width)
    yield ""
    if not steps:
        yield "no step has failed"
        return
    yield f"{counted_as(len(steps), 'step')} failed"
    for step in islice(steps, SHOWN):
        yield ""
        yield from _lines(step, width)
    if len(steps) > SHOWN:
        yield f"\n… and {len(steps) - SHOWN} more; --json has all of them"
    name = quote(steps[0]["name"])
    yield f"\nmore about a step: {typed(f'runs show {run} {name}')}"
    # What failed elsewhere was caught.
    if report["status"] == RunStatus.FAILED or any(one["lanes"] for one in steps):
        yield f"run them again: {typed(f'runs rerun {run} --failed')}"


def _lines(step: Mapping[str, Any], width: int) -> Iterator[str]:
    took = step["seconds"]
    words = [step["name"], step["status"], "" if took is None else duration(took)]
    if step["attempts"] > 1:
        words.append(f"{step['attempts']} attempts")
    if step["name"] != step["place"]:
        words.append(f"({step['place']})")
    sign = SIGNS[step["status"]][0]
    yield clipped(f"{sign} {'  '.join(word for word in words if word)}", width)
    yield from wrapped(step["error"], width, "  ")
    size = step["input_size"]
    if size is None:
        yield from wrapped(f"input: not known; {step['missing']}", width, "  ")
    else:
        part = f" (the first {MOST_INPUT} of {size} bytes)" if size > MOST_INPUT else ""
        yield f"  input{part}:"
        yield from value_lines(step["input"])
    if step["output"] is not None:
        yield "  output:"
        yield from value_lines(step["output"])
    if step["log"]:
        shown, total = len(step["log"]), step["log_total"]
        yield (
            f"  log (the last {shown} of {total} lines):" if total > shown else "  log:"
        )
        texts = LogTexts()
        for line in step["log"]:
            text = texts.of(line, f"attempt {line['attempt']}")
            yield clipped(f"    {text}", width)
