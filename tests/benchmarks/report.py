"""The table a person reads."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import Result, Round

LEFT = ("shape", "side")
RIGHT = (
    "median ms",
    "min-max",
    "ms/step",
    "steps/s",
    "x canvas",
    "trips/step",
    "cmds/step",
    "KB/step",
    "worker MB",
    "archived +ms",
    "load",
)
WIDTH = 172


def table_of(title: str, results: Iterable[Result]) -> Table:
    """Return a table with two lines a shape: ours and canvas."""
    table = Table(title=title, title_justify="left")
    for name in LEFT:
        table.add_column(name, no_wrap=True)
    for name in RIGHT:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        for side in ("ours", "canvas"):
            table.add_row(*cells(result, side))
        table.add_section()
    return table


def cells(result: Result, side: str) -> list[str]:
    """Return one line: medians, and the spread of the time."""
    ours = side == "ours"
    rounds: list[Round] = list(getattr(result, side))
    times = [one.ms for one in rounds]
    total, ms = result.shape.total, result.median(side, "ms")
    return [
        result.shape.title if ours else "",
        "swarm" if ours else "canvas",
        f"{ms:.1f}",
        f"{min(times):.0f}-{max(times):.0f}",
        f"{ms / total:.3f}",
        f"{total / ms * 1000:.0f}",
        f"{result.ratio:.2f}" if ours else "1",
        f"{result.median(side, 'requests') / total:.2f}",
        f"{result.median(side, 'commands') / total:.2f}",
        f"{result.median(side, 'net_bytes') / total / 1000:.2f}",
        f"{result.median(side, 'worker_mb'):.0f}",
        f"{result.median(side, 'archived_ms'):.0f}" if ours else "",
        f"{result.median(side, 'load'):.1f}",
    ]


def show(title: str, results: Iterable[Result]) -> None:
    """Print a table, as wide as it needs where the output is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table_of(title, results))
