"""The live view of one run: what its journal says so far, drawn or in plain lines."""

from __future__ import annotations

import os
import time
from typing import Any, Final, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from blueprints.terminal import Mouth
from workers.console import VisibleConsole
from workers.live_lanes import Group
from workers.live_progress import Line, Progress, StepLine
from workers.live_rows import Row, nested, newest
from workers.live_text import (
    SHOWN_CONTENT,
    duration,
    one_line,
    stage_text,
)

SHOWN_ROWS: Final = 30
NESTED_STEPS: Final = 300
GROUP_EVERY_S: Final = 1.0

SIGNS: Final = {
    "pending": ("·", "dim"),
    "running": ("▶", "cyan"),
    "retry": ("↻", "yellow"),
    "passed": ("✔", "green"),
    "blocked": ("■", "yellow"),
    "failed": ("✘", "red"),
    "lost": ("✘", "red"),
    "cancelled": ("-", "dim"),
}


class View(Protocol):
    """Shows a run's progress to a person."""

    def open(self, progress: Progress) -> None: ...
    def update(self, progress: Progress) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self, progress: Progress) -> None: ...


class PlainView:
    """One line a finished step; a wide fanout tells its count once a second.

    Notes of one stage and partials are told once a second, too; log lines as they come.
    """

    def __init__(self, stream: TextIO | Mouth) -> None:
        """Write to a stream."""
        self._stream = Mouth.over(stream)
        self._told: dict[str, tuple[float, str]] = {}
        self._stages: dict[tuple[str, str], tuple[float, str]] = {}
        self._paused = False

    def open(self, progress: Progress) -> None:
        """Name the run."""
        self.say(f"run {progress.run} ({progress.title})")

    def update(self, progress: Progress) -> None:
        """Tell what was said, then what finished."""
        for line in progress.new_lines():
            if line.sort not in ("running", "partial") or self._new_stage(line):
                self.say(said_line(progress, line))
        wide: dict[str, Group] = {}
        for ended in progress.finished:
            if isinstance(ended, Group):
                if ended.wide:
                    self._tell(ended, float("inf"))
                continue
            group = progress.group_of(ended)
            if group is not None and group.wide:
                wide[group.place] = group
                if ended.status in ("passed", "blocked", "retry"):
                    continue
            self.say(plain_line(progress, ended))
        progress.finished.clear()
        for group in wide.values():
            self._tell(group, time.monotonic())
        if progress.paused != self._paused and not progress.ended:
            self._paused = progress.paused
            self.say(f"run {progress.run} {'paused' if self._paused else 'resumed'}")

    def close(self, progress: Progress) -> None:
        """Tell the last counts."""
        self.update(progress)
        for group in progress.groups.values():
            if group.wide:
                self._tell(group, float("inf"))

    def _new_stage(self, line: Line) -> bool:
        key = (line.step.place, line.sort)
        at, stage = self._stages.get(key, (0.0, None))
        now = time.monotonic()
        if stage == line.stage and now - at < GROUP_EVERY_S:
            return False
        self._stages[key] = (now, line.stage)
        return True

    def _tell(self, group: Group, now: float) -> None:
        at, said = self._told.get(group.place, (0.0, ""))
        text = f"  {group.place}  {group.summary()}"
        if text != said and now - at >= GROUP_EVERY_S:
            self._told[group.place] = (now, text)
            self.say(text)

    def say(self, text: str) -> None:
        """Write a line."""
        self._stream.write(text + "\n")
        self._stream.flush()


class TreeView:
    """A tree of steps that is drawn anew as the run goes on."""

    def __init__(self, console: Console) -> None:
        """Draw on a console."""
        # What others print meanwhile is theirs: it does not become a part of ours.
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def open(self, progress: Progress) -> None:
        """Begin to draw."""
        self._live.start()
        self.update(progress)

    def update(self, progress: Progress) -> None:
        """Draw what is known now."""
        progress.finished.clear()
        for line in progress.new_lines():
            if line.sort in ("log", "final"):
                what = "" if line.sort == "log" else f"{line.sort} "
                self._live.console.print(
                    Text.assemble(
                        (f"{line.step.agent or '?'}  {what}", "dim"),
                        one_line(line.text, 300),
                    )
                )
        self._live.update(tree(progress), refresh=True)

    def say(self, text: str) -> None:
        """Write a line above the picture, or below the last one."""
        # Not cut and not broken: it may be a command to be pasted.
        self._live.console.print(Text(text), soft_wrap=True)

    def close(self, progress: Progress) -> None:
        """Leave the last picture."""
        if self._live.is_started:
            self.update(progress)
            self._live.stop()


def view_for(stream: TextIO | Mouth) -> View:
    """Return the tree for a terminal, plain lines for everything else."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not stream.isatty():
        return PlainView(stream)
    return TreeView(VisibleConsole(stream))


def tree(progress: Progress) -> Tree:
    """Return the picture of a run."""
    status = progress.ended or ("paused" if progress.paused else "running")
    head = Text.assemble(
        ("run ", "dim"),
        (progress.run, "bold"),
        f"  {progress.title}  ",
        (status, "bold"),
    )
    root = Tree(head, guide_style="dim")
    seen: set[str] = set()
    shown: list[tuple[str, StepLine | Group]] = []
    for step in progress.steps.values():
        group = progress.group_of(step)
        if group is None or not group.wide:
            shown.append((step.place, step))
        elif group.place not in seen:
            seen.add(group.place)
            shown.append((group.place, group))
    # Most of a long run is above the picture: that much is not even nested.
    above = max(0, len(shown) - NESTED_STEPS)
    rows = nested(shown[above:])
    kept, hidden = newest(rows, SHOWN_ROWS)
    if above + hidden:
        root.add(Text(f"… {above + hidden} earlier lines", "dim"))
    _grow(progress, root, [row for row in rows if row in kept], kept)
    return root


def _grow(progress: Progress, tree: Tree, rows: list[Row], kept: set[Row]) -> None:
    for row in rows:
        branch = tree.add(_row_text(progress, row))
        _grow(progress, branch, [one for one in row.below if one in kept], kept)


def _row_text(progress: Progress, row: Row) -> Text:
    if row.sort == "earlier":
        return Text(f"… {row.count} earlier", "dim")
    if isinstance(row.item, StepLine):
        return _line(progress, row.item)
    group = row.item or (
        progress.groups.get(row.place) if row.sort == "fanout" else None
    )
    if group is not None:
        return _group_line(group)
    sign, style = SIGNS[row.status]
    match row.sort:
        case "fanout":
            words = f"lane[0..{row.count - 1}]"
        case "loop":
            words = f"loop, {row.count} iteration{'s' if row.count > 1 else ''}"
        case _:
            words = row.place.rpartition("/")[2]
    return Text.assemble((f"{sign} ", style), words, (f"  {row.place}", "dim"))


def _line(progress: Progress, step: StepLine) -> Text:
    sign, style = SIGNS[step.status]
    parts: list[Any] = [(f"{sign} ", style), (step.agent or "?", "bold")]
    parts.append((f"  {progress.kinds.get(step.agent, '')}", "dim"))
    if step.attempt > 1:
        parts.append((f"  attempt {step.attempt}", "yellow"))
    taken = step.seconds(progress.now_ms())
    if taken is not None:
        parts.append(f"  {duration(taken)}")
    parts.append((f"  {step.place}", "dim"))
    if step.stage and step.status == "running":
        parts.append((f"  {one_line(stage_text(step.stage, step.note), 100)}", style))
    if step.piece and step.status == "running":
        parts.append((f"  {one_line(step.piece, SHOWN_CONTENT)}", "dim"))
    if step.text and step.status != "running":
        parts.append((f"  {one_line(step.text, 100)}", style))
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _group_line(group: Group) -> Text:
    sign, style = SIGNS[group.status]
    return Text.assemble(
        (f"{sign} ", style), group.summary(), (f"  {group.place}", "dim")
    )


def plain_line(progress: Progress, step: StepLine) -> str:
    """Return a step's line without colour."""
    taken = step.seconds(progress.now_ms())
    parts = [f"  {step.status:<8} {step.agent or '?'}"]
    parts.append(progress.kinds.get(step.agent, ""))
    if step.attempt > 1 or step.status == "retry":
        parts.append(f"attempt {step.attempt}")
    if taken is not None:
        parts.append(duration(taken))
    parts.append(step.place)
    if step.text:
        parts.append(one_line(step.text, 300))
    return "  ".join(part for part in parts if part)


def said_line(progress: Progress, line: Line) -> str:
    """Return the line for something a step said, without colour."""
    agent = line.step.agent or "?"
    parts = [f"  {line.sort:<8} {agent}", progress.kinds.get(agent, "")]
    parts += [line.step.place, one_line(line.text, 300)]
    return "  ".join(part for part in parts if part)
