"""How many journal entries a second the archive writes, on SQLite and on PostgreSQL.

Run with `python -m tests.benchmarks.archive_speed [ENTRIES] [--only DATABASE]`; nothing is
asserted. For each database and shape it prints the entries, the CPU time of the archiver
per entry, and the entries a second by CPU time and by the clock. The journals are made by
the engine; servers and databases are below a temporary directory.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import django
from django.utils.module_loading import import_string

from workers.embedded_server.server import Hold, ensure_server

SUPPORT: Final = Path(__file__).resolve().parents[1] / "support"
DATABASES: Final = ("SQLite", "PostgreSQL")
STEPS: Final = 100
ENTRIES: Final = 20_000


def flows() -> dict[str, tuple[Any, int, int]]:
    """Return by shape: a flow, the steps of a delivery, and about how many entries it has."""
    step = import_string("rig.step")()
    chain = {"kind": "seq", "children": [step] * STEPS}
    fanout = {
        "kind": "fanout",
        "items": {"op": "lit", "value": list(range(10 * STEPS))},
        "bind": {"op": "path", "at": "$.n"},
        "body": {"kind": "seq", "children": [step, step]},
        "join": "all",
        "out": {"op": "path", "at": "$.lanes"},
    }
    return {
        "chains of 100, continued": (chain, STEPS, STEPS),
        "chains of 100, a delivery a step": (chain, 1, 2 * STEPS),
        "fanouts of 1000 lanes of 2": (fanout, STEPS, 20 * STEPS),
    }


def measure(name: str, entries: int) -> None:
    """Make the journal of a shape and archive it; print a line."""
    rig = import_string("rig.Rig")()
    archiver = import_string("workers.archive.archiver.Archiver")(rig.store)
    flow, steps, each = flows()[name]
    count, wall, cpu = 0, 0.0, 0.0
    # The first journal fills caches and is not counted.
    for runs in (1, max(1, entries // each)):
        for _ in range(runs):
            rig.launch(flow)
        rig.work_off(steps=steps)
        count, wall, cpu = 0, -time.perf_counter(), -time.thread_time()
        while done := archiver.turn():
            count += done
        wall, cpu = wall + time.perf_counter(), cpu + time.thread_time()
    sys.stdout.write(
        f"  {name:<34}{count:>8}{cpu / count * 1e6:>12.0f}{count / cpu:>12.0f}"
        f"{count / wall:>12.0f}\n"
    )
    sys.stdout.flush()


def measure_all(entries: int) -> None:
    """Measure all shapes on the database that the environment names."""
    django.setup()
    import_string("django.core.management.call_command")("migrate", verbosity=0)
    for name in flows():
        measure(name, entries)


@contextlib.contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """Give the settings of a new database."""
    if name == "SQLite":
        yield {}
        return
    with import_string("tests.support.postgres_cluster.running_cluster")() as cluster:
        yield {"DATABASE_URL": cluster.database("swarm")}


def main() -> int:
    """Measure each database in a process of its own; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.archive_speed")
    parser.add_argument("entries", type=int, nargs="?", default=ENTRIES)
    parser.add_argument("--only", choices=DATABASES)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        measure_all(chosen.entries)
        return 0
    sys.stdout.write(f"{'':36}{'entries':>8}{'us CPU':>12}{'/s CPU':>12}{'/s':>12}\n")
    for name in [chosen.only] if chosen.only else DATABASES:
        # A unix socket's path is at most 107 characters long.
        var = Path(tempfile.mkdtemp(prefix="swarm-bench-", dir="/tmp"))
        try:
            with contextlib.ExitStack() as undo:
                undo.callback(Hold(var).release)
                ensure_server(var)
                env = {
                    **os.environ,
                    "SWARM_VAR": str(var),
                    "PYTHONPATH": str(SUPPORT),
                    **undo.enter_context(database(name)),
                }
                env.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")
                env.pop("SWARM_REDIS_URL", None)
                sys.stdout.write(f"{name}\n")
                sys.stdout.flush()
                command = [sys.executable, "-m", "tests.benchmarks.archive_speed"]
                subprocess.run(
                    [*command, "--here", str(chosen.entries)], env=env, check=True
                )
        finally:
            shutil.rmtree(var, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
