"""The two sides: how each launches a shape and knows that it has ended.

Both ask the server in the same way, one small read a millisecond.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import redis
from django.utils import timezone

from blueprints.models import Run, Step, Task
from blueprints.services.programs import program_keep
from engine.run.drive.load import Loader, Prepared
from engine.run.drive.start import start_of
from engine.run.states import FINAL_RUN, OPEN_RUN, RunStatus, StepStatus
from engine.store.redis import STATE, RedisStore
from tests.benchmarks.canvas import Launch
from tests.benchmarks.processes import Worker
from tests.benchmarks.shapes import CTX, Shape
from workers.runs.reconciling import reconcile

POLL_S = 0.001
POLL_BYTES = 80
"""Roughly what such a read and its reply weigh on the wire."""
TIMEOUT_S = 120.0
HOUR = timedelta(hours=1)


class Side(ABC):
    """One of the two systems, with its worker up."""

    name: str

    def __init__(self, worker: Worker, server: Any) -> None:
        """Bind the worker and a connection to the server."""
        self.worker = worker
        self.server = server
        self.polls = 0
        self.poll_bytes = POLL_BYTES

    @abstractmethod
    def prepare(self, shape: Shape) -> list[Launch]:
        """Make everything that is not measured; returns one launch call a run."""

    @abstractmethod
    def wait(self) -> None:
        """Return when all runs of the last `prepare` have ended."""

    def settle(self) -> float:
        """Wait for what goes on after the end; returns how long that took."""
        return 0.0

    def poll(self, ended: Callable[[], bool]) -> None:
        """Ask until the answer is yes; TimeoutError after two minutes."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            self.polls += 1
            if ended():
                return
            if self.polls % 1000 == 0:
                self.worker.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: a run has not ended")
            time.sleep(POLL_S)


class Canvas(Side):
    """Plain Celery canvas."""

    name = "canvas"
    _numbers = count()

    def prepare(self, shape: Shape) -> list[Launch]:
        """Build the signatures."""
        self._keys = [f"canvas:done:{next(self._numbers)}" for _ in range(shape.runs)]
        return [shape.canvas(shape.steps, CTX, key) for key in self._keys]

    def wait(self) -> None:
        """Wait for the keys that the last tasks set."""
        for key in self._keys:
            self.poll(lambda key=key: self.server.exists(key))
        self.server.delete(*self._keys)


class Ours(Side):
    """Swarm: launched into Redis like `workers.runs.launch`, archived by its steward.

    The rows of the runs are there before: canvas has no database to write to.
    """

    name = "swarm"

    def __init__(self, worker: Worker, server: Any, store: RedisStore) -> None:
        """Bind a store besides."""
        super().__init__(worker, server)
        self._store = store
        self._loader = Loader(store)

    def prepare(self, shape: Shape) -> list[Launch]:
        """Write the rows and parse the program, once for all runs."""
        program = shape.program()
        task = Task.objects.create(blueprint_id=program.blueprint_id, init_ctx=CTX)
        now, here = timezone.now(), reconcile(self._store).epoch
        self._steps, kept = shape.total, program_keep(program)
        self._runs = Run.objects.bulk_create(
            Run(
                task=task,
                # The steward starts pending runs by itself after two seconds.
                status=RunStatus.RUNNING,
                program_id=kept,
                ctx=CTX,
                epoch=here,
                deadline_at=now + HOUR,
                started_at=now,
            )
            for _ in range(shape.runs)
        )
        prepared = self._loader.prepare(program)
        return [self._launch(run.pk, prepared) for run in self._runs]

    def _launch(self, run: str, prepared: Prepared) -> Launch:
        hour_ms = round(HOUR.total_seconds() * 1000)

        def launch() -> str:
            return self._store.start(start_of(run, 1, prepared, CTX, hour_ms))

        return launch

    def wait(self) -> None:
        """Wait for each run's status, or its absence: the archiver was faster."""
        for run in self._runs:
            key = f"{STATE}r:{run.pk}:1"
            self.poll(
                lambda key=key: self.server.hget(key, "status") in (b"done", None)
            )

    def settle(self) -> float:
        """Wait until the steward has archived all runs, and see that all is done."""
        since = time.monotonic()
        runs = Run.objects.filter(pk__in=[run.pk for run in self._runs])
        while runs.filter(status__in=OPEN_RUN).exists():
            if time.monotonic() - since > TIMEOUT_S:
                self.worker.check()
                raise TimeoutError("swarm: the steward does not archive")
            time.sleep(0.02)
        lag = time.monotonic() - since
        ended = runs.filter(status__in=FINAL_RUN).exclude(status=RunStatus.DONE)
        if bad := ended.first():
            raise RuntimeError(f"swarm: run {bad.pk} is {bad.status}: {bad.error}")
        passed = Step.objects.filter(run__in=self._runs, status=StepStatus.PASSED)
        if passed.count() != self._steps:
            raise RuntimeError(f"swarm: {passed.count()} of {self._steps} steps passed")
        return lag


def connect(socket: str) -> Any:
    """Return the harness's connection to the server."""
    return redis.Redis(unix_socket_path=socket, single_connection_client=True)
