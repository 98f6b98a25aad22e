"""The pages of `runs show`: a run with its steps, and one step with its attempts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from shlex import quote
from textwrap import wrap
from typing import Any, Final

from blueprints.authoring import answer
from blueprints.command_line import typed
from engine.flow.shortened import shortened
from engine.run.journal.entries import MOST_INPUT
from engine.run.journal.outputs import shown_content
from engine.run.place_names import PlaceNames
from engine.run.states import FAILED_STEP, OPEN_STEP
from workers.terminal.run_rows import StepRow, folded
from workers.terminal.run_view import SIGNS
from workers.terminal.texts import (
    SHOWN_CONTENT,
    clipped,
    duration,
    one_line,
    stage_text,
)

PIPE_WIDTH: Final = 220
"""The width of what is printed to a pipe or a file."""
SHOWN_FAILED: Final = 10
SHOWN_STEPS: Final = 200
SHOWN_PARTS: Final = 40
SHOWN_LINES: Final = 20
SHOWN_OUTPUT: Final = 4_000
"""The characters of a step's output, or of the final Ctx on a terminal."""

Report = Mapping[str, Any]


def run_page(
    report: Report, log: Sequence[Report], total: int, names: PlaceNames, width: int
) -> Iterator[str]:
    """Yield the lines about a run: its error, failed steps, all steps, log and result.

    `log` has the newest lines of `total`.
    """
    took = report["seconds"]
    yield f"run {report['run']}  {report['status']}"
    words = [report["blueprint"], *([] if took is None else [duration(took)])]
    yield clipped(f"  {'  '.join(words)}", width)
    yield from error_lines(report["error"], width)
    if report["unreplayable"]:
        yield clipped(f"  no replay: {report['unreplayable']}", width)
    steps = report["steps"]
    failed = [step for step in steps if step["status"] in FAILED_STEP]
    # Where there are few steps, the list of all of them has the errors.
    rows = folded(steps, names)
    if failed and len(rows) < len(steps):
        yield ""
        yield f"failed ({len(failed)} of {len(steps)} steps)"
        shown = [StepRow(one["place"], one["name"], [one]) for one in failed]
        yield from _rows(shown[:SHOWN_FAILED], width)
        yield from _more(len(failed) - SHOWN_FAILED, "failed steps")
    if rows:
        yield ""
        yield "steps"
        yield from _rows(rows[:SHOWN_STEPS], width)
        yield from _more(len(rows) - SHOWN_STEPS, "steps")
    yield from _part_lines(steps, width)
    if log:
        yield ""
        yield (
            "log"
            if total <= len(log)
            else f"log (the last {len(log)} of {total} lines)"
        )
        texts = LogTexts()
        yield from (clipped(f"  {texts.of(line, line['name'])}", width) for line in log)
    yield from _result_lines(report, width)
    if steps:
        name = (failed or steps)[0]["name"]
        command = typed(f"runs show {report['run']} {quote(name)}")
        yield ""
        yield f"more about a step: {command}"


def _result_lines(report: Report, width: int) -> Iterator[str]:
    if report["usage"]:
        yield ""
        used = ", ".join(f"{name} {n}" for name, n in sorted(report["usage"].items()))
        yield f"used by all attempts: {used}"
    if report["ctx"] is not None:
        yield ""
        yield "final Ctx"
        yield from ctx_lines(report["ctx"])
    elif report["ctx_output"]:
        yield ""
        yield from output_lines(report["run"], report["ctx_output"])


def output_lines(run: str, ref: Report) -> list[str]:
    """Return the lines about a final Ctx that is kept as an output."""
    command = typed(f"runs outputs {run} {ref['id']}")
    return [
        f"final Ctx ({ref['size']} bytes): {ref['preview']}",
        f"print it with: {command}",
    ]


def ctx_lines(ctx: Any) -> list[str]:
    """Return a Ctx as indented JSON, its long parts shortened if it is long."""
    lines = whole_lines(ctx)
    if sum(map(len, lines)) <= SHOWN_OUTPUT:
        return lines
    return whole_lines(shortened(ctx, items=3, keys=30, depth=4, text=200))


def whole_lines(value: Any) -> list[str]:
    """Return a value as the lines of indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False).split("\n")


def error_lines(error: Report | None, width: int) -> Iterator[str]:
    """Yield the lines about the error of a run: text, place, line, values of the Ctx."""
    if not error:
        return
    text, *more = answer.error_lines(error, cut=lambda line: clipped(line, width - 2))
    yield from wrapped(one_line(text, 2000), width, "  ")
    yield from (f"  {line}" for line in more)


def steps_page(steps: Sequence[Report], run: str, width: int) -> Iterator[str]:
    """Yield the lines about several steps that one text names, failed ones first."""
    yield f"{len(steps)} steps of run {run}"
    rows = [StepRow(one["place"], one["name"], [one]) for one in steps]
    yield from _rows(rows[:SHOWN_LINES], width)
    yield from _more(len(rows) - SHOWN_LINES, "steps")
    yield ""
    shown = typed(f"runs show {run} {quote(steps[0]['name'])}")
    yield f"show one of them: {shown}"


def step_page(report: Report, width: int) -> Iterator[str]:
    """Yield the lines about one step: attempts with input and error, Ctx, log."""
    took = report["seconds"]
    head = ["step", report["name"], report["status"]]
    yield "  ".join([*head, *([] if took is None else [duration(took)])])
    yield f"  run {report['run']}"
    if report["name"] != report["place"]:
        yield f"  place {report['place']}"
    yield f"  agent {report['agent']} ({report['kind']})"
    yield f"  id {report['step_id']}"
    before = None
    for attempt in report["attempts"]:
        yield ""
        yield from _attempt_lines(attempt, before, report["missing"], width)
        before = attempt
    for name in ("before", "after"):
        yield ""
        if why := report["missing"].get(name):
            yield from wrapped(f"ctx {name}: not known; {why}", width, "")
        else:
            yield f"ctx {name}"
            yield from _block("\n".join(ctx_lines(report[f"ctx_{name}"])))
    if report["log"]:
        yield ""
        yield "log"
        texts = LogTexts()
        for line in report["log"]:
            text = texts.of(line, f"attempt {line['attempt']}")
            yield clipped(f"  {text}", width)


def _attempt_lines(
    attempt: Report, before: Report | None, missing: Mapping[str, str], width: int
) -> Iterator[str]:
    took = attempt["seconds"]
    words = [f"attempt {attempt['number']}", attempt["status"]]
    words += ["" if took is None else duration(took), attempt["worker"]]
    yield "  ".join(word for word in words if word)
    if attempt["error"]:
        yield from wrapped(attempt["error"], width, "  ")
    size, given = attempt["input_size"], attempt["input"]
    if size is None:
        yield from wrapped(f"input: not known; {missing.get('input', '')}", width, "  ")
    elif before is not None and before["input"] == given and before["input_size"]:
        yield f"  input: as in attempt {before['number']}"
    else:
        part = f" (the first {MOST_INPUT} of {size} bytes)" if size > MOST_INPUT else ""
        yield f"  input{part}:"
        yield from _block(given if part else "\n".join(whole_lines(given)))
    if attempt["traceback"]:
        yield "  traceback:"
        yield from _block(attempt["traceback"])
    if attempt["output"] is not None:
        yield "  output:"
        yield from _block("\n".join(ctx_lines(attempt["output"])))


def replay_page(report: Report, width: int) -> Iterator[str]:
    """Yield the lines about a replay: where it ended, the Ctx there, any difference."""
    difference = report["difference"]
    yield f"run {report['run']}  {report['status']} after entry {report['number']}"
    if report["error"]:
        yield from wrapped(report["error"][1], width, "  ")
    for chain in report["chains"]:
        yield clipped(f"  {chain['addr']}  {chain['state']}  {chain['place']}", width)
    yield ""
    if report["ctx_missing"]:
        yield f"ctx: {report['ctx_missing']}"
    else:
        yield "ctx"
        yield from _block("\n".join(ctx_lines(report["ctx"])))
    yield ""
    found = "the journal and the program agree"
    yield from wrapped(difference["text"] if difference else found, width, "")


def value_lines(value: Any) -> Iterator[str]:
    """Yield the lines of a value within a page; a text that is cut stays a text."""
    return _block("\n".join(ctx_lines(value)))


def _block(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines())


def _rows(rows: Sequence[StepRow], width: int) -> Iterator[str]:
    """Yield a line for each row, and below it the error of a single step."""
    if not rows:
        return
    most = max(16, width // 2)
    names = [_end_of(row.name, most) for row in rows]
    agents = [
        "" if row.agent == row.name.partition("[")[0] else row.agent for row in rows
    ]
    name_width, agent_width = max(map(len, names)), max(map(len, agents))
    for row, name, agent in zip(rows, names, agents, strict=True):
        took = "" if row.seconds is None else duration(row.seconds)
        words = [name.ljust(name_width), agent.ljust(agent_width), f"{took:>7}"]
        step, more = row.steps[0], row.words
        if len(row.steps) == 1 and step["status"] in OPEN_STEP:
            more = "  ".join(
                filter(None, [more, stage_text(step["stage"], step["note"])])
            )
        line = "  ".join(word for word in words if word)
        line = f"  {SIGNS[row.status][0]} {line}"
        fits = len(line) + 2 + len(more) <= width
        yield clipped(f"{line}  {more}".rstrip() if fits else line.rstrip(), width)
        if not fits:
            yield from wrapped(one_line(more), width, "      ")
        if len(row.steps) == 1 and step["error"]:
            yield from wrapped(one_line(step["error"], 400), width, "      ")


def _part_lines(steps: Sequence[Report], width: int) -> Iterator[str]:
    """Yield the lines about the artifacts of steps, and about who wrote their finals."""
    lines = [
        f"  part   {step['name']}  {name}: {shown_content(content, SHOWN_CONTENT)}"
        for step in steps
        for name, content in step["parts"].items()
    ]
    lines += [
        f"  final  {step['name']}  by {step['final_by']}"
        for step in steps
        if step["final_by"]
    ]
    if lines:
        yield ""
        yield "output"
    yield from (clipped(line, width) for line in islice(lines, SHOWN_PARTS))
    yield from _more(len(lines) - SHOWN_PARTS, "lines")


class LogTexts:
    """Writes the lines of a log; who logged stands in the first of several only."""

    def __init__(self, *, repeat: bool = False) -> None:
        """Begin a log; with `repeat` each line has who logged it, as `grep` needs it."""
        self._repeat = repeat
        self._last = ""

    def of(self, line: Report, who: str) -> str:
        """Return the text of a line: time, who logged it, what."""
        again = who == self._last and not self._repeat
        self._last = who
        return (
            f"{line['at'][11:19]}  {' ' * len(who) if again else who}  {line['text']}"
        )


def _more(count: int, what: str) -> Iterator[str]:
    if count > 0:
        yield f"  … and {count} more {what}; --json has all of them"


def wrapped(text: str, width: int, indent: str) -> list[str]:
    """Return a text as lines of at most `width` characters; its line ends stay."""
    room = max(1, width - len(indent))
    return [
        f"{indent}{part}"
        for line in text.splitlines()
        for part in wrap(line, room, break_on_hyphens=False) or [""]
    ]


def _end_of(name: str, most: int) -> str:
    """Return the end of a name that is too long: places differ there."""
    return name if len(name) <= most else f"…{name[len(name) - most + 1 :]}"
