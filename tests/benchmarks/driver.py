"""Runs the shapes; imported once the server is up and Django is set up."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command

from tests.benchmarks.floors import CONTINUED, SINGLE, ratios_of, verdicts
from tests.benchmarks.measure import Record, Result, idle_rate, measure, one_round
from tests.benchmarks.processes import Worker
from tests.benchmarks.report import show
from tests.benchmarks.shapes import SHAPES, SMALL, Shape
from tests.benchmarks.sides import Canvas, Ours, connect
from workers.wiring import make_store

MODES: Mapping[str, Mapping[str, str]] = {
    CONTINUED: {},
    SINGLE: {"SWARM_STEP_BUDGET": "1", "SWARM_LANE_BATCH": "1"},
}
MINUTE_S = 60.0


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    quick: bool
    repeats: int
    only: str
    jsonl: Path | None
    smoke: bool = False
    check: bool = False
    baseline: Path | None = None

    def shapes(self) -> list[Shape]:
        """Return the shapes to run: those whose name starts with `only`."""
        return [
            shape
            for shape in (SMALL if self.smoke else SHAPES)
            if shape.name.startswith(self.only)
            and not (self.quick and shape.name == "fanout10000")
        ]


def main(options: Options) -> bool:
    """Measure all shapes in both modes and print a table each.

    False where `--check` was asked for and a floor was missed.
    """
    call_command("migrate", verbosity=0)
    var, socket = Path(settings.VAR_DIR), os.environ["BENCH_SOCKET"]
    server = connect(socket)
    # The canvas worker must not load Django.
    plain = {
        name: value
        for name, value in os.environ.items()
        if name != "DJANGO_SETTINGS_MODULE"
    }
    records: list[Record] = []
    everything: list[Result] = []
    with Worker("tests.benchmarks.canvas", "canvas", plain, var / "canvas.log") as them:
        canvas = Canvas(them, server)
        for number, (mode, env) in enumerate(MODES.items()):
            log = var / f"swarm{number}.log"
            with Worker(
                "swarm_project", "swarm.python_fn", {**os.environ, **env}, log
            ) as us:
                ours = Ours(us, server, make_store())
                wait_for(ours, canvas, rounds=1 if options.smoke else 3)
                if not records and not options.smoke:
                    say(f"idle, both workers up: {idle_rate(server):.0f} commands/s")
                results = list(results_of(mode, options, ours, canvas))
            show(mode, results)
            everything += results
            records += [line for result in results for line in result.records()]
    if options.jsonl is not None:
        lines = (json.dumps(record) + "\n" for record in records)
        options.jsonl.write_text("".join(lines))
    return not options.check or checked(everything, options.baseline)


def checked(results: list[Result], baseline: Path | None) -> bool:
    """Print a line a floor; False when one was missed."""
    earlier = dict(ratios_of(baseline)) if baseline is not None else None
    verdict_lines = verdicts(results, earlier)
    print("\n".join(verdict.line() for verdict in verdict_lines))
    return all(verdict.met for verdict in verdict_lines if verdict.must)


def results_of(
    mode: str, options: Options, ours: Ours, canvas: Canvas
) -> Iterator[Result]:
    """Measure one shape after the other."""
    for shape in options.shapes():
        if mode == SINGLE and shape.rounds is not None and not options.smoke:
            continue
        result = measure(
            mode, shape, (ours, canvas), options.repeats, settled=not options.smoke
        )
        say(
            f"{shape.title}: {result.median('ours', 'ms'):.0f} ms,"
            f" canvas {result.median('canvas', 'ms'):.0f} ms, x {result.ratio:.2f}"
        )
        yield result
    # What the archive has of the last it has of all before.
    ours.settle()


def wait_for(*sides: Any, rounds: int) -> None:
    """Run a small chain on each side: its worker is up once that has ended."""
    until = time.monotonic() + MINUTE_S
    shape = next(shape for shape in SHAPES if shape.name == "loop50")
    for side in sides:
        side.worker.check()
        # The first round waits for the worker to come up, the others fill its caches.
        for _ in range(rounds):
            one_round(side, shape)
    if time.monotonic() > until:
        raise TimeoutError("the workers took more than a minute to come up")


def say(text: str) -> None:
    """Print the progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
