"""What Redis has of a run that loops around a fanout, early and late.

Run with `python -m tests.benchmarks.loop_memory [--rounds 200] [--lanes 1000]`; nothing is
asserted. For each shape it prints the bytes of all keys but the journal after the fanout
of round 20, or of a tenth of the rounds, and of the last round, and their ratio.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import django
from django.utils.module_loading import import_string

from workers.embedded_server.server import Hold, ensure_server

SUPPORT: Final = Path(__file__).resolve().parents[1] / "support"
JOURNAL: Final = b"swarm:s:j"
QUEUE: Final = "swarm.python_fn"
SHAPES: Final = ("with `select`", "whole documents", "inside a `try`")


def flow(shape: str, rounds: int, lanes: int) -> Any:
    """Return a loop around a fanout; a step `look` follows each fanout."""
    made = import_string("flow_documents.step")
    at = import_string("flow_documents.at")
    lit = import_string("flow_documents.lit")
    let = import_string("flow_documents.let")
    seq = import_string("flow_documents.seq")
    fanout: Any = {
        "kind": "fanout",
        "items": lit(list(range(lanes))),
        "bind": at("$.item"),
        "body": made("echo", at("$.item"), "$.got"),
        "join": "all",
        "out": at("$.lanes"),
    }
    if shape == SHAPES[0]:
        fanout["select"] = at("$.got")
    if shape == SHAPES[2]:
        fanout = {
            "kind": "try",
            "body": fanout,
            "catch": seq(),
            "err_at": at("$.error"),
        }
    return {
        "kind": "loop",
        "counter": at("$.i"),
        "cond": lit(True),
        "max": rounds,
        # A lane would have the results of the round before in its document.
        "body": seq(let("$.lanes", lit(0)), fanout, made("look", lit(0), "$.seen")),
    }


class Watched:
    """Answers a step with its input, and measures Redis in the steps of `look`."""

    in_process = True

    def __init__(self, store: Any) -> None:
        """Measure with the connection of a store."""
        self._store = store
        self._outcome = import_string("engine.run.attempt.outcomes.Outcome")
        self.sizes: list[int] = []

    def run(self, call: Any) -> Any:
        """Return the input."""
        if call.agent.name == "look":
            self.sizes.append(self._size())
        return self._outcome("passed", call.input)

    def _size(self) -> int:
        """Return the bytes of all keys but the journal, which is emptied."""
        call = self._store.wire.call
        call("XTRIM", JOURNAL, "MAXLEN", 0)
        keys = [key for key in call("KEYS", "swarm:*") if key != JOURNAL]
        return sum(call("MEMORY", "USAGE", key, "SAMPLES", 0) or 0 for key in keys)


def measure_all(rounds: int, lanes: int) -> None:
    """Run each shape on the server that the settings name, and print a line."""
    django.setup()
    import_string("django.core.management.call_command")("migrate", verbosity=0)
    program = import_string("engine.blueprint.Program")
    agent = import_string("engine.blueprint.program.Agent")
    request = import_string("blueprints.services.runs.Launch")
    launch = import_string("workers.runs.launch.launch")
    agents = {
        name: agent(name, "python_fn", QUEUE, 60_000) for name in ("echo", "look")
    }
    early = min(20, max(1, rounds // 10))
    for shape in SHAPES:
        rig = import_string("rig.Rig")()
        rig.spawner = watched = Watched(rig.store)
        made = program("b", flow(shape, rounds, lanes), agents)
        if shape == SHAPES[0]:
            made = replace(made, dialect="swarm")
        ctx = {"doc": "x" * 1000}
        run = launch(rig.store, request(made, ctx))
        rig.work_off()
        head = rig.store.head(run.pk)
        if head is None or head.status != "done" or len(watched.sizes) != rounds:
            raise RuntimeError(f"{shape}: {head}, {len(watched.sizes)} rounds")
        first, last = watched.sizes[early - 1], watched.sizes[-1]
        sys.stdout.write(f"{shape:<20}{first:>12}{last:>12}{last / first:>10.3f}\n")
        sys.stdout.flush()
        rig.store.wire.call("FLUSHALL")


def main() -> int:
    """Start a server, then measure in a process that has its settings."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.loop_memory")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=1000)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        measure_all(chosen.rounds, chosen.lanes)
        return 0
    # A unix socket's path is at most 107 characters long.
    var = Path(tempfile.mkdtemp(prefix="swarm-bench-", dir="/tmp"))
    hold = Hold(var)
    try:
        ensure_server(var)
        env = {**os.environ, "SWARM_VAR": str(var), "PYTHONPATH": str(SUPPORT)}
        env.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")
        for name in ("SWARM_REDIS_URL", "DATABASE_URL"):
            env.pop(name, None)
        sys.stdout.write(
            f"{'bytes in Redis':<20}{'early':>12}{'late':>12}{'ratio':>10}\n"
        )
        sys.stdout.flush()
        command = [sys.executable, "-m", "tests.benchmarks.loop_memory", "--here"]
        sizes = ["--rounds", str(chosen.rounds), "--lanes", str(chosen.lanes)]
        subprocess.run([*command, *sizes], env=env, check=True)
    finally:
        hold.release()
        shutil.rmtree(var, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
