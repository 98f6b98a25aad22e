"""One installation in a temporary directory: server, database, workers to kill."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flow_documents
import orjson
from flow_documents import echo_step, lit
from living_processes import with_variable
from server_commands import stop_server

from engine.blueprint import Program
from engine.blueprint.program import Agent, Retry
from engine.run.drive.load import Loader
from engine.run.drive.start import start_of
from engine.store.base import ROOT, JournalEntry, Ref
from engine.store.redis import STATE, RedisStore
from swarm_project.celery import app
from workers.broker.messages import message_template
from workers.embedded_server.server import ensure_server

REPO = Path(__file__).resolve().parents[2]
LEASE_S = 2.0
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Installation:
    """Starts and stops what a fault test needs; every process is found again."""

    def __init__(self, var: Path) -> None:
        """Use `var` for everything."""
        self.var = var
        self.workers: list[subprocess.Popen[bytes]] = []
        self.env: dict[str, str] = {}
        self.store = RedisStore(f"unix://{var}/none", template=message_template(app))
        self.forget_journal()
        self.pace(0.0)

    def pace(self, seconds: float) -> None:
        """Set how long `fault-work` sleeps."""
        (self.var / "pace").write_text(str(seconds))

    def start(self) -> None:
        """Start the embedded server and make the database."""
        self.info = ensure_server(self.var, keep=True)
        where = self.info.socket_path
        assert where is not None
        self.settle(f"unix://{where}")

    def settle(self, url: str, database: str = "") -> None:
        """Make the database of an installation whose Redis is at `url`.

        It is a SQLite of its own unless `database` is the URL of another.
        """
        self.env = {
            **os.environ,
            "SWARM_VAR": str(self.var),
            "SWARM_REDIS_URL": url,
            "SWARM_LEASE": str(LEASE_S),
            "SWARM_AGENT_MODULES": "fault_agents",
            "DATABASE_URL": database or f"sqlite:///{self.var}/db.sqlite3",
            "FAULT_DIR": str(self.var),
            "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{REPO}",
            "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
        }
        self.store.wire.close()
        self.store = RedisStore(
            url,
            template=message_template(app),
            lease_ms=round(LEASE_S * 1000),
            patience_s=10.0,
        )
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=REPO,
            env=self.env,
            check=True,
            timeout=60,
        )

    def worker(
        self,
        concurrency: int = 2,
        quiet: Sequence[str] = QUIET,
        queues: str = "swarm.python_fn,swarm.subprocess",
        **env: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker in a process group of its own, as quiet as a fleet's."""
        number = len(self.workers)
        with open(self.var / f"worker-{number}.log", "wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "celery", "-A", "swarm_project", "worker",
                    "--pool", "prefork", "-c", str(concurrency),
                    "-Q", queues, "-n", f"w{number}@%h", "--loglevel", "WARNING",
                    *quiet,
                ],
                cwd=REPO,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.workers.append(process)
        return process

    def ready(self, *workers: subprocess.Popen[bytes]) -> None:
        """Wait until workers take messages (fault_points notes it) and a steward is up."""
        for worker in workers:
            mark = self.var / f"ready-{worker.pid}"
            assert self.until(mark.exists, bool, 30), self.log(0)
        elected = ("EXISTS", f"{STATE}steward")
        assert self.until(lambda: self.store.wire.call(*elected), bool, 30), "steward"

    def steward_host(self) -> int:
        """Return the process id of the worker that the steward belongs to."""
        [lock] = self.var.glob("steward-*.lock")
        return int(lock.read_text().split()[0])

    def log(self, number: int) -> str:
        """Return what a worker has logged."""
        return (self.var / f"worker-{number}.log").read_text()

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker's process group without warning."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(10)

    def stop(self) -> None:
        """End every process of this installation."""
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait(10)
        # An open socket that only the garbage collector closes is a warning.
        self.store.wire.close()
        stop_server(self.var)
        # A steward gives way to everything else, so on a busy machine it takes its time.
        until = time.monotonic() + 30
        while self.left_over() and time.monotonic() < until:
            time.sleep(0.05)

    def left_over(self) -> list[str]:
        """Return the command lines of processes that name this installation."""
        return with_variable("SWARM_VAR", self.var)

    def launch(self, flow: Any, ctx: Any, n: int = 1, **agents: Agent) -> list[str]:
        """Start `n` runs of a flow in Redis; returns their ids."""
        program = Program("faults", flow, agents or AGENTS)
        prepared = Loader(self.store).prepare(program)
        runs = [f"R-{os.urandom(8).hex()}" for _ in range(n)]
        for run in runs:
            self.store.start(start_of(run, 1, prepared, ctx, 600_000))
        return runs

    def launch_with_rows(self, flow: Any, ctx: Any, n: int) -> list[str]:
        """Start `n` runs that have their rows in the database; returns their ids."""
        program = Program("faults", flow, AGENTS).to_json()
        args = (json.dumps(program), json.dumps(ctx), str(n))
        ended = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("launch_rows.py")), *args],
            cwd=REPO,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ended.stdout.split()

    def rows(self, query: str, runs: list[str]) -> list[tuple[Any, ...]]:
        """Ask the database; `?` stands for the runs' ids."""
        marks = ",".join("?" * len(runs))
        with contextlib.closing(sqlite3.connect(self.var / "db.sqlite3")) as database:
            return database.execute(query.replace("?", f"({marks})"), runs).fetchall()

    def wait(self, runs: list[str], seconds: float) -> dict[str, str]:
        """Wait until runs have ended; returns their statuses."""

        def look() -> dict[str, str]:
            self._read_journal()
            return {run: self.status(run) for run in runs}

        return self.until(look, lambda got: "running" not in got.values(), seconds)

    def until(
        self, look: Callable[[], Any], good: Callable[[Any], bool], seconds: float
    ) -> Any:
        """Look again until it is good or the time is over; returns the last look."""
        end = time.monotonic() + seconds
        while True:
            got = look()
            if good(got) or time.monotonic() > end:
                return got
            time.sleep(0.05)

    def status(self, run: str) -> str:
        """Return a run's status in Redis."""
        head = self.store.head(run)
        return head.status if head else "gone"

    def ctx(self, run: str) -> Any:
        """Return the final Ctx of a run."""
        ref = Ref(run, 1, ROOT)
        head, record = self.store.head(run), self.store.record(ref.key, ROOT)
        assert head is not None
        assert record is not None
        loader = Loader(self.store)
        prepared = loader.prepared(ref.key, head.program_id)
        return loader.chain(ref, prepared, record).doc.value

    def noted(self) -> Counter[tuple[str, str]]:
        """Return how often agents ran, by run and place."""
        log = self.var / "runs.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter((line.split()[0], line.split()[1]) for line in lines)

    def step_ids(self) -> dict[tuple[str, str], set[str]]:
        """Return the ids that agents were given, by run and place."""
        ids: dict[tuple[str, str], set[str]] = {}
        for line in (self.var / "runs.log").read_text().splitlines():
            run, place, *_, step_id = line.split()
            ids.setdefault((run, place), set()).add(step_id)
        return ids

    def statuses(self, runs: list[str]) -> Counter[str]:
        """Return how many of the runs have which status in the database."""
        query = "SELECT status FROM blueprints_run WHERE id IN ?"
        return Counter(status for (status,) in self.rows(query, runs))

    def archived_steps(self, runs: list[str]) -> set[tuple[str, str]]:
        """Return the steps whose end the database has, by run and place."""
        query = "SELECT run_id, data FROM blueprints_runevent WHERE run_id IN ?"
        return {
            (run, event[1])
            for run, data in self.rows(query, runs)
            for event in orjson.loads(data)["e"]
            if event[0] == "passed"
        }

    def entries(self, runs: list[str]) -> list[tuple[str, list[Any]]]:
        """Return the journal entries of runs, in order: each its run and its events."""
        self._read_journal()
        wanted = set(runs)
        return [
            (entry.run, orjson.loads(entry.data)["e"])
            for entry in self._journaled
            if entry.run in wanted
        ]

    def forget_journal(self) -> None:
        """Drop the entries that were kept: a killed server may have lost some of them."""
        self._journaled: list[JournalEntry] = []
        self._after = "0"

    def _read_journal(self) -> None:
        """Keep the new entries: the steward trims those that it archived 30 s ago."""
        while entries := self.store.journal(self._after, 1000):
            self._after = entries[-1].id
            self._journaled += entries

    def events(self, runs: list[str]) -> list[tuple[str, list[Any]]]:
        """Return the journal events of runs, in order, each with its run."""
        return [
            (run, event) for run, journaled in self.entries(runs) for event in journaled
        ]


def agent(name: str, fn: str, timeout_ms: int = 60_000, **retry: Any) -> Agent:
    """Return a python_fn agent of a program."""
    return Agent(
        name, "python_fn", "swarm.python_fn", timeout_ms, Retry(**retry), {"fn_id": fn}
    )


AGENTS = {
    "work": agent("work", "fault-work"),
    "quick": agent("quick", "fault-quick"),
    "gil": agent("gil", "fault-gil"),
}


def step(ref: str = "work", path: str = "$.n") -> Any:
    """Return a step that replaces a value by its agent's answer."""
    return echo_step(ref, path)


def fanout(items: Any, body: Any, join: str = "all") -> Any:
    """Return a fanout over literal items bound at `$.n`."""
    return flow_documents.fanout(lit(items), body, join, bind="$.n")


def dumps(value: Any) -> str:
    """Return a value as text for a comparison."""
    return json.dumps(value, sort_keys=True)
