"""Draw the live view of a run: a tree on a terminal, else plain lines."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from blueprints.command_line import counted_as
from blueprints.terminal import Output
from engine.run.journal.outputs import shown_content
from workers.terminal.console import VisibleConsole
from workers.terminal.run_progress import (
    RETRY,
    Group,
    Row,
    RunProgress,
    StepLine,
    drop_oldest,
    nested,
)
from workers.terminal.texts import (
    SHOWN_CONTENT,
    duration,
    final_text,
    one_line,
    stage_text,
)

SHOWN_ROWS: Final = 30
NESTED_STEPS: Final = 300
REPEAT_S: Final = 1.0

SIGNS: Final = {
    "pending": ("·", "dim"),
    "running": ("▶", "cyan"),
    "retry": ("↻", "yellow"),
    "passed": ("✔", "green"),
    "blocked": ("■", "yellow"),
    "failed": ("✘", "red"),
    "lost": ("✘", "red"),
    "cancelled": ("-", "dim"),
    "skipped": ("-", "dim"),
    "parked": ("◦", "cyan"),
}


class PlainView:
    """Print a line for each ended attempt and for each output event of a step.

    A wide fanout is one line with its counts. That line, notes of one stage and partials
    are printed at most once a second.
    """

    def __init__(self, stream: TextIO | Output) -> None:
        """Print to a stream."""
        self._stream = Output.of(stream)
        self._written: dict[tuple[str, str], tuple[float, str]] = {}
        self._paused = False

    def open(self, progress: RunProgress) -> None:
        """Print the run's id and Blueprint."""
        self.print(f"run {progress.run} ({progress.title})")

    def update(self, progress: RunProgress) -> None:
        """Print output events, then ended attempts and fanouts."""
        for line, wire in progress.outputs:
            key, stage = (line.step.place, wire["type"]), wire.get("stage", "")
            if key[1] not in ("progress", "partial") or self._is_news(key, stage):
                word, text = _output_text(wire)
                name = progress.names.name(line.step.place)
                words = [line.step.agent or "?", line.step.kind, name]
                self._print_words(word, *words, one_line(text))
        wide: dict[str, Group] = {}
        for ended in progress.finished:
            group = ended if isinstance(ended, Group) else ended.group
            if group is not None and group.wide:
                wide[group.place] = group
            if isinstance(ended, Group):
                continue
            if not ended.is_counted or ended.status not in ("passed", "blocked", RETRY):
                shown = _words(ended, progress)
                self._print_words(ended.word, *(text for text, _ in shown))
        progress.outputs.clear()
        progress.finished.clear()
        for group in wide.values():
            self._count(group, progress.now_ms(), last=group.joined)
        if progress.paused != self._paused and not progress.ended:
            self._paused = progress.paused
            self.print(f"run {progress.run} {'paused' if self._paused else 'resumed'}")

    def close(self, progress: RunProgress) -> None:
        """Print the last counts."""
        self.update(progress)
        for group in progress.groups.values():
            if group.wide:
                self._count(group, progress.now_ms(), last=True)

    def _is_news(self, key: tuple[str, str], text: str) -> bool:
        """Return whether a text is new, or was last printed REPEAT_S ago."""
        at, last = self._written.get(key, (0.0, None))
        now = time.monotonic()
        if text == last and now - at < REPEAT_S:
            return False
        self._written[key] = now, text
        return True

    def _count(self, group: Group, now_ms: int, *, last: bool = False) -> None:
        key, now = (group.place, "lanes"), time.monotonic()
        at, written = self._written.get(key, (0.0, ""))
        # The time first: a summary counts all lanes.
        if not last and now - at < REPEAT_S:
            return
        text = f"  {group.place}  {group.summary(now_ms)}"
        if text != written:
            self._written[key] = now, text
            self.print(text)

    def _print_words(self, what: str, *words: str) -> None:
        self.print(f"  {what:<8} {'  '.join(filter(None, words))}")

    def print(self, text: str) -> None:
        """Print a line."""
        self._stream.print(text)


class TreeView:
    """Draw a tree of steps, again at each change."""

    def __init__(self, console: Console) -> None:
        """Draw on a console."""
        # Output of other code does not become part of the tree.
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def open(self, progress: RunProgress) -> None:
        """Start to draw."""
        self._live.start()
        self.update(progress)

    def update(self, progress: RunProgress) -> None:
        """Print new log lines and finals, and draw the tree below them."""
        for line, wire in progress.outputs:
            word, text = _output_text(wire)
            if word in ("log", "final"):
                agent = line.step.agent or "?"
                who = f"{agent}  " if word == "log" else f"{agent}  final "
                self._live.console.print(Text.assemble((who, "dim"), one_line(text)))
        progress.outputs.clear()
        progress.finished.clear()
        self._live.update(tree(progress), refresh=True)

    def print(self, text: str) -> None:
        """Print a line above the tree, or below the closed one."""
        # Not wrapped, so that a command in it can be copied.
        self._live.console.print(Text(text), soft_wrap=True)

    def close(self, progress: RunProgress) -> None:
        """Draw the tree a last time."""
        if self._live.is_started:
            self.update(progress)
            self._live.stop()


class QuietView(PlainView):
    """Print warnings only."""

    def open(self, progress: RunProgress) -> None:
        """Print nothing."""

    def update(self, progress: RunProgress) -> None:
        """Drop the news."""
        progress.outputs.clear()
        progress.finished.clear()

    def close(self, progress: RunProgress) -> None:
        """Print nothing."""


View = PlainView | TreeView


def view_for(
    stream: TextIO | Output, *, quiet: bool = False, plain: bool = False
) -> View:
    """Return the tree for a terminal, plain lines for everything else."""
    if quiet:
        return QuietView(stream)
    simple = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or simple or not stream.isatty():
        return PlainView(stream)
    return TreeView(VisibleConsole(stream))


def tree(progress: RunProgress) -> Tree:
    """Return the tree of a run."""
    status = progress.ended or ("paused" if progress.paused else "running")
    head = Text.assemble(
        ("run ", "dim"),
        (progress.run, "bold"),
        f"  {progress.title}  ",
        (status, "bold"),
        f"  {progress.elapsed()}",
    )
    root = Tree(head, guide_style="dim")
    shown: dict[str, StepLine | Group] = {}
    for place, line in progress.steps.items():
        if line.group is not None and line.group.wide:
            shown.setdefault(line.group.place, line.group)
        else:
            shown[place] = line
    # Most of a long run is above the picture: that much is not even nested.
    above = max(0, len(shown) - NESTED_STEPS)
    rows = nested(list(shown.items())[above:])
    hidden = above + drop_oldest(rows, SHOWN_ROWS)
    if hidden:
        root.add(Text(f"… {hidden} earlier lines", "dim"))
    _grow(progress, root, rows)
    return root


def _grow(progress: RunProgress, tree: Tree, rows: list[Row]) -> None:
    for row in rows:
        _grow(progress, tree.add(_row_text(progress, row)), row.below)


def _row_text(progress: RunProgress, row: Row) -> Text:
    if row.kind == "earlier":
        return Text(f"… {row.count} earlier", "dim")
    if isinstance(row.item, StepLine):
        return _line(row.item, progress)
    group = row.item
    if row.kind == "fanout":
        # Only an outermost fanout has a group.
        group = progress.groups.get(row.place)
    if group is not None:
        words = group.summary(progress.now_ms())
    elif row.kind == "fanout":
        words = f"lane[0..{row.count - 1}]"
    elif row.kind == "loop":
        words = f"loop, {counted_as(row.count, 'iteration')}"
    else:
        words = row.place.rpartition("/")[2]
    sign, style = SIGNS[(group or row).status]
    return Text.assemble((f"{sign} ", style), words, (f"  {row.place}", "dim"))


def _line(line: StepLine, progress: RunProgress) -> Text:
    sign, style = SIGNS[line.word]
    words = Text("  ").join(Text(*word) for word in _words(line, progress))
    return Text.assemble((f"{sign} ", style), words, no_wrap=True, overflow="ellipsis")


def _words(line: StepLine, progress: RunProgress) -> list[tuple[str, str]]:
    """Return the words for a step and its latest attempt, each with a style."""
    step, attempt, style = line.step, line.attempt, SIGNS[line.word][1]
    words = [(step.agent or "?", "bold"), (step.kind, "dim")]
    if attempt and (step.attempts > 1 or line.status == RETRY):
        words.append((f"attempt {attempt.number}", "yellow"))
    taken = line.seconds(progress.now_ms())
    words.append(("" if taken is None else duration(taken), ""))
    words.append((progress.names.name(step.place), "dim"))
    if line.status != "running":
        words.append((one_line(attempt.error if attempt else ""), style))
    else:
        words.append((one_line(stage_text(line.stage, line.note), 100), style))
        piece = shown_content(line.piece, SHOWN_CONTENT) if line.piece else ""
        words.append((one_line(piece, SHOWN_CONTENT), "dim"))
    return [(text, style) for text, style in words if text]


def _output_text(wire: Mapping[str, Any]) -> tuple[str, str]:
    """Return the word for the type of an output event, and its text."""
    match wire["type"]:
        case "progress":
            return "running", stage_text(wire["stage"], wire["note"])
        case "artifact":
            return "part", str(wire["name"])
        case "partial":
            return "partial", shown_content(wire["chunk"], SHOWN_CONTENT)
        case "final":
            return "final", final_text(wire)
        case "truncated":
            return "log", f"output truncated: {wire['why']}"
        case _:
            return "log", str(wire["text"])
