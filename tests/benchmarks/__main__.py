"""Swarm and plain Celery canvas, interleaved on one embedded server.

`python -m tests.benchmarks [--quick] [--repeats 5] [--only NAME] [--jsonl FILE]`.
With `--check` it says PASS or FAIL for each floor and exits 1 where one was missed.
Server, workers and database are of its own, below a temporary directory.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import django
from django.utils.module_loading import import_string

from workers.embedded_server.server import Hold, ensure_server


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="two rounds, no fanout of 10 000"
    )
    parser.add_argument("--repeats", type=int, help="rounds a side (5, quick 2)")
    parser.add_argument("--only", default="", help="shapes whose names start so")
    parser.add_argument("--jsonl", type=Path, help="write JSON lines there")
    parser.add_argument(
        "--smoke", action="store_true", help="every shape once, very small: it runs"
    )
    parser.add_argument(
        "--check", action="store_true", help="hold the ratios against the floors"
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="JSON lines of an earlier run: with --check, 90 %% of its ratios is a floor",
    )
    chosen = parser.parse_args()
    if chosen.check and (chosen.smoke or chosen.only):
        parser.error("--check needs all shapes in their full size")
    if chosen.baseline and not chosen.check:
        parser.error("--baseline goes with --check")
    return chosen


def main() -> int:
    """Start the server, then hand over to the driver, which needs its address.

    Returns the exit code.
    """
    chosen = options()
    # A unix socket's path is at most 107 characters long.
    var = Path(tempfile.mkdtemp(prefix="swarm-bench-", dir="/tmp"))
    try:
        with contextlib.ExitStack() as undo:
            undo.callback(Hold(var).release)
            server = ensure_server(var)
            os.environ |= {
                "SWARM_VAR": str(var),
                "SWARM_AGENT_MODULES": "tests.benchmarks.agents",
                "BENCH_SOCKET": str(server.socket_path),
            }
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")
            for name in ("SWARM_REDIS_URL", "DATABASE_URL"):
                os.environ.pop(name, None)
            django.setup()
            driver = import_string("tests.benchmarks.driver.main")
            make = import_string("tests.benchmarks.driver.Options")
            few = 1 if chosen.smoke else 2 if chosen.quick else 5
            made = make(
                chosen.quick,
                chosen.repeats or few,
                chosen.only,
                chosen.jsonl,
                chosen.smoke,
                chosen.check,
                chosen.baseline,
            )
            reached = driver(made)
    finally:
        shutil.rmtree(var, ignore_errors=True)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
