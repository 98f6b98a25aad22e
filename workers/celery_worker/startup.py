"""The parts that we add to a Celery worker: claim table, keeper and engine queue.

workers.tasks imports this module, so that a stock `celery worker` has them too.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import redis
from billiard.common import human_status
from billiard.process import current_process
from celery import Celery, bootsteps, signals
from celery.exceptions import WorkerShutdown
from celery.worker.state import maybe_shutdown
from django.db import DatabaseError, connections
from kombu.entity import Exchange, Queue

from blueprints.agent_sources import module_hashes
from blueprints.command_line import REFUSED, first_line, typed
from blueprints.conf import load_kinds, spawner_kinds
from blueprints.services.outputs import OutputsElsewhere, check_outputs
from engine.output_store import OutputsAway
from engine.store.base import ENGINE_QUEUE
from engine.store.redis import RedisStore
from engine.visible import visible
from workers.broker.installation import ForeignRedis
from workers.broker.redis_permissions import rights_fault
from workers.broker.transport import state_url
from workers.celery_worker.child_deaths import deaths, install_death_log_filter
from workers.celery_worker.child_engine import use_table
from workers.celery_worker.claim_table import ClaimTable
from workers.celery_worker.keeper import Keeper
from workers.celery_worker.open_files import files_fault
from workers.embedded_server.files import NOWHERE
from workers.fleet.records import Held, Record
from workers.fleet.running_sources import (
    SOURCES_FILE,
    OtherSources,
    enter,
    publish_sources,
)
from workers.fleet.worker_guard import report_ready, take_ready_descriptor
from workers.process.orphans import adopt_orphans
from workers.process.posix import hide
from workers.runs.reconciling import reconcile
from workers.steward.candidate import StewardHost
from workers.wiring import make_store

logger = logging.getLogger(__name__)

AGAIN_S = 1.0
"""How often a worker looks whether a database or outputs that are away are back."""
KEEPER_TIMEOUT_S = 0.8
"""How long the keeper waits for a reply of Redis; it asks once.

It kills no child in the meantime, and a child may run for three seconds past its
deadline: two seconds of grace and this.
"""


def keeper_store() -> RedisStore:
    """Return a store over the configured Redis with a short timeout."""
    return make_store(timeout=KEEPER_TIMEOUT_S, resend_silent=False, wary=True)


class KeeperStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Maps the claim table before the pool forks and runs the keeper."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, worker: Any, **options: Any) -> None:
        """Map the claim table; all steps are created before the pool starts."""
        super().__init__(worker, **options)
        self.table = ClaimTable()
        use_table(self.table)
        self.keeper: Keeper | None = None
        self.host = StewardHost()
        _steps[:] = [self]

    def create(self, worker: Any) -> KeeperStep:
        """Keep the worker for its pool; return the step, which starts and stops.

        The objects loaded by now live as long as the worker. They are frozen, because a
        garbage collection in a child would copy the memory that it shares with them.
        """
        self.worker = worker
        gc.collect()
        gc.freeze()
        return self

    def start(self, worker: Any) -> None:
        """Start the keeper thread."""
        install_death_log_filter()
        self.keeper = Keeper(
            keeper_store(), self.table, self.pids, self.host.tick, self.describe_end
        )
        self.keeper.start()

    def stop(self, worker: Any) -> None:
        """Ask children to give work back; the keeper continues while they drain."""
        self.table.drain()
        self.host.stop()

    terminate = stop

    def pids(self) -> Iterable[int] | None:
        """Return the live children of a prefork pool, None for other pools."""
        processes = self._processes()
        if processes is None:
            return None
        return [p.pid for p in processes if p.pid and p.exitcode is None]

    def describe_end(self, pid: int) -> str:
        """Return how a child ended, as text; the pool may not have logged it yet."""
        for process in self._processes() or ():
            if process.pid == pid and process.exitcode is not None:
                return deaths.describe(pid, human_status(process.exitcode))
        return deaths.describe(pid)

    def _processes(self) -> list[Any] | None:
        """Return the processes of a prefork pool, None for other pools."""
        pool = getattr(getattr(self.worker, "pool", None), "_pool", None)
        if not hasattr(pool, "_repopulate_pool"):
            return None
        # Copied, because the pool changes its list in another thread.
        return list(getattr(pool, "_pool", ()))


class OwnStoresStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Lets a worker consume once it has the Redis and the outputs of its installation.

    It checks after every reconnect: the Redis may then be another one, or have gone back.
    While the data of Redis are not compared with the archive, or the outputs are away, the
    worker waits and takes no steps.
    """

    requires = {"celery.worker.consumer:Connection"}

    def start(self, consumer: Any) -> None:
        """Reconcile the data of Redis; wait for the database if that needs it.

        A worker whose Redis belongs to another installation ends.
        """
        store = make_store()
        warned = False
        try:
            while not self._is_reconciled(store, warned):
                warned = True
                time.sleep(AGAIN_S)
                # A signal has only set a flag.
                maybe_shutdown()
            self._await_outputs()
        except (ForeignRedis, OutputsElsewhere) as error:
            sys.stderr.write(visible(f"{error}\n"))
            raise WorkerShutdown(REFUSED) from None
        finally:
            store.wire.close()
            # The children that are forked must not inherit these connections.
            connections.close_all()

    @staticmethod
    def _await_outputs() -> None:
        """Check the outputs; while they are away, say why and check again."""
        told = ""
        while True:
            try:
                return check_outputs()
            except DatabaseError as error:
                # It names the content to read; steps need no database.
                connections.close_all()
                logger.warning(
                    "The database is away, so outputs are not checked: %s",
                    first_line(error),
                )
                return None
            except OutputsAway as error:
                if told != str(error):
                    told = str(error)
                    logger.warning("This worker takes no steps: %s; trying again", told)
                # A shutdown may be asked for meanwhile.
                maybe_shutdown()
                time.sleep(AGAIN_S)

    @staticmethod
    def _is_reconciled(store: RedisStore, warned: bool) -> bool:
        """Reconcile the data; without a database, return whether somebody else has."""
        try:
            reconcile(store)
        except DatabaseError as error:
            connections.close_all()
            reconciled = store.standing().is_reconciled
            then = "its owner is not checked" if reconciled else "no step is taken"
            if not warned:
                logger.warning(
                    "The database is away, so this Redis is not compared with it and %s: %s",
                    then,
                    first_line(error),
                )
            return reconciled
        return True


_steps: list[KeeperStep] = []
_held: list[Held] = []
"""The record of a worker that no command of ours guards."""
_guards: list[int] = []
"""The descriptor of the guard, until this worker has reported to it."""


def install_keeper(app: Celery) -> None:
    """Add keeper, check of the installation and consumer to every worker of an app."""
    app.conf.worker_consumer = "workers.celery_worker.consumer:PausingConsumer"
    app.steps["worker"].add(KeeperStep)
    app.steps["consumer"].add(OwnStoresStep)


@signals.celeryd_init.connect(weak=False)
def refuse_unfit(options: Any = None, **_: Any) -> None:
    """End a worker that has no Redis, too few rights there, or too few files to open."""
    concurrency = (options or {}).get("concurrency")
    fault = _redis_fault() or _rights_fault() or files_fault(concurrency)
    if fault:
        sys.stderr.write(visible(f"{fault}\n"))
        # Celery logs all other exceptions of signal handlers and continues.
        raise SystemExit(REFUSED)


def _redis_fault() -> str:
    """Return what to do if the settings, which are read once, name no Redis."""
    if state_url().url != NOWHERE:
        return ""
    return (
        f"no embedded server is running: start `{typed('up')}`, or set SWARM_REDIS_URL,"
        " and start this worker again"
    )


def _rights_fault() -> str:
    """Return which right the user of Redis lacks; empty also during an outage."""
    with contextlib.suppress(redis.RedisError, OSError):
        client = state_url().client(socket_connect_timeout=3, socket_timeout=3)
        with contextlib.closing(client):
            return rights_fault(client, state_url())
    return ""


@signals.celeryd_init.connect(weak=False)
def keep_secrets(**_: Any) -> None:
    """Hide the worker's environment; the children of its pool inherit that."""
    hide()
    # The processes that this worker starts must not inherit the guard's descriptor.
    if (guard := take_ready_descriptor()) is not None:
        _guards[:] = [guard]


@signals.worker_ready.connect(weak=False)
def report_consuming(**_: Any) -> None:
    """Report to the guard that this worker consumes from now on."""
    while _guards:
        report_ready(_guards.pop())


@signals.celeryd_after_setup.connect(weak=False)
def consume_engine_queue(sender: Any, instance: Any, **_: Any) -> None:
    """Add the engine's queue to the queues of a worker."""
    queues = instance.app.amqp.queues
    if ENGINE_QUEUE not in queues.consume_from:
        queue = Queue(ENGINE_QUEUE, Exchange(""), routing_key=ENGINE_QUEUE)
        queues.select_add(queue)


@signals.celeryd_after_setup.connect(weak=False)
def load_agents(sender: Any, instance: Any, **_: Any) -> None:
    """Import the agent modules before the pool forks, and log broken ones.

    The worker serves the other modules; a step that needs a function of a broken module
    fails with the same text. What it tells others of its sources is read before: they are
    never older than that.
    """
    file = os.environ.pop(SOURCES_FILE, "")
    hashes = module_hashes() if file else {}
    if not file:
        _enter(sender, instance.app.amqp.queues.consume_from)
    for fault in load_kinds(spawner_kinds()):
        logger.error("%s", fault)
    if file:
        publish_sources(Path(file), hashes)


def _enter(hostname: str, queues: Iterable[str]) -> None:
    """Record a worker that no command of ours guards; end it if it has other sources."""
    pid = os.getpid()
    record = Record(
        f"worker-{pid}", f"`celery worker -n {hostname}`", pid, tuple(queues)
    )
    try:
        _held[:] = [enter(record)]
    except OtherSources as error:
        sys.stderr.write(visible(f"This worker is not started: {error}\n"))
        raise SystemExit(REFUSED) from None
    except OSError as error:
        logger.warning(
            "This worker does not tell which sources it has: %s", first_line(error)
        )


@signals.after_setup_logger.connect(weak=False)
def apply_log_level(loglevel: int | str | None = None, **_: Any) -> None:
    """Let `celery worker -l INFO` name each Celery task; by itself it is quiet."""
    if loglevel:
        logging.getLogger("celery").setLevel(loglevel)


@signals.worker_shutting_down.connect(weak=False)
def end_budgets(**_: Any) -> None:
    """Make children give work back as soon as shutdown begins.

    Runs in the signal handler of the main thread: a memory write and nothing else.
    """
    for step in _steps:
        step.table.drain()


@signals.worker_shutdown.connect(weak=False)
def end_keeper(**_: Any) -> None:
    """End the keeper after the pool has drained, and the steward with it."""
    while _held:
        _held.pop().release()
    for step in _steps:
        step.host.stop()
        if step.keeper is not None:
            step.keeper.stop()


@signals.worker_process_init.connect(weak=False)
def set_up_child(**_: Any) -> None:
    """Close what a forked child must not inherit; adopt the orphans of its agents."""
    for step in _steps:
        # The steward sees the end of the pipe only if no child has it open.
        step.host.forget()
    while _guards:
        os.close(_guards.pop())
    adopt_orphans()
    # multiprocessing forbids daemonic processes, such as a pool's children, to have
    # children. Here functions may have them: they end with their step.
    current_process()._config["daemon"] = False
    # A pool that spawns its children instead of forking them does not inherit this.
    hide()
