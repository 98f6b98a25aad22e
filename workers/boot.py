"""What a worker process adds to Celery's: the page, the keeper, the engine's queue.

Imported by workers.tasks, so that a stock `celery worker` has it too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

import redis
from billiard.common import human_status
from billiard.process import current_process
from celery import Celery, bootsteps, signals
from celery.exceptions import WorkerShutdown
from django.conf import settings
from django.db import DatabaseError, connections
from kombu import Exchange, Queue

from blueprints.agents import broken_modules, function_faults
from blueprints.command_line import typed
from blueprints.conf import spawner_kinds
from blueprints.services.installations import installation_name
from engine.store.base import ENGINE_QUEUE, StoreFull
from engine.store.redis import RedisStore
from engine.visible import visible
from workers.deaths import be_plain, deaths
from workers.execute import use_page
from workers.fleets_child import READY_FD
from workers.installation import ForeignRedis, hold_redis
from workers.keeper import Keeper, no_fork_in_tick
from workers.open_files import files_fault
from workers.page import Page
from workers.process.offspring import adopt_orphans
from workers.process.privacy import hide
from workers.rights import rights_fault
from workers.runtime import make_store
from workers.server_files import NOWHERE
from workers.steward_host import StewardHost
from workers.transport import state_address

logger = logging.getLogger(__name__)

KEEPER_TIMEOUT_S = 0.8
"""How long the keeper waits for a Redis that says nothing; it asks once.

Meanwhile it kills nobody, and a child past its deadline has three seconds at most: two
of grace and this.
"""
AGENT_KIND = "python_fn"
REFUSED = 2


def keeper_store() -> RedisStore:
    """Return a store over the configured Redis that gives up soon."""
    return make_store(timeout=KEEPER_TIMEOUT_S, resend_silent=False)


class KeeperStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Maps the page before the pool forks and runs the keeper while the worker lives."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, worker: Any, **options: Any) -> None:
        """Map the page; all steps are created before the pool starts."""
        super().__init__(worker, **options)
        self.page = Page()
        use_page(self.page)
        self.keeper: Keeper | None = None
        self.host = StewardHost()
        _steps[:] = [self]

    def create(self, worker: Any) -> KeeperStep:
        """Keep the worker for its pool; the step itself is what starts and stops."""
        self.worker = worker
        return self

    def start(self, worker: Any) -> None:
        """Start the keeper thread."""
        no_fork_in_tick()
        be_plain()
        self.keeper = Keeper(
            keeper_store(), self.page, self.pids, self.host.tick, self.how_ended
        )
        self.keeper.start()

    def stop(self, worker: Any) -> None:
        """Ask children to give work back; the keeper goes on while they drain."""
        self.page.drain()
        self.host.stop()

    def terminate(self, worker: Any) -> None:
        """Stop at once."""
        self.stop(worker)

    def pids(self) -> Iterable[int] | None:
        """Return the live children of a prefork pool, None for other pools."""
        processes = self._processes()
        if processes is None:
            return None
        return [p.pid for p in processes if p.pid and p.exitcode is None]

    def how_ended(self, pid: int) -> str:
        """Say how a child of the pool ended; the pool may not have seen it yet."""
        for process in self._processes() or ():
            if process.pid == pid and process.exitcode is not None:
                return deaths.how(pid, human_status(process.exitcode))
        return deaths.how(pid)

    def _processes(self) -> list[Any] | None:
        """Return the processes of a prefork pool, None for other pools."""
        pool = getattr(getattr(self.worker, "pool", None), "_pool", None)
        if not hasattr(pool, "_repopulate_pool"):
            return None
        # The pool changes its own list in a thread of its own.
        return list(getattr(pool, "_pool", ()))


class OwnRedisStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Ends a worker whose Redis belongs to another installation.

    Looks whenever the worker has connected: the Redis may be another one then.
    """

    requires = {"celery.worker.consumer:Connection"}
    database = ""

    def start(self, consumer: Any) -> None:
        """Ask database, once, and Redis; a database that is away is no reason to end."""
        store = make_store()
        try:
            OwnRedisStep.database = OwnRedisStep.database or installation_name()
            hold_redis(store, OwnRedisStep.database)
        except ForeignRedis as error:
            sys.stderr.write(visible(f"{error}\n"))
            raise WorkerShutdown(REFUSED) from None
        except StoreFull as error:
            logger.warning("this Redis has no installation yet: %s", error)
        except DatabaseError as error:
            reason = str(error).strip().partition("\n")[0]
            logger.warning(
                "whether this Redis is ours can't be told without the database: %s",
                reason,
            )
        finally:
            store.wire.close()
            # Children are forked from this process, and need none of it.
            connections.close_all()


_steps: list[KeeperStep] = []
_guards: list[int] = []
"""The descriptor by which a guard is told that this worker consumes, until it is."""


def add_to(app: Celery) -> None:
    """Make every worker of an app run the keeper, and look whose Redis it has."""
    app.steps["worker"].add(KeeperStep)
    app.steps["consumer"].add(OwnRedisStep)


@signals.celeryd_init.connect(weak=False)
def refuse_without_redis(**_: Any) -> None:
    """End a worker that has no Redis to work for.

    Settings are read once, so it would ask for ever at an address where nobody answers.
    """
    if state_address().url == NOWHERE:
        text = (
            f"no embedded server is running: start `{typed('up')}`, or set"
            " SWARM_REDIS_URL, and start this worker again\n"
        )
        sys.stderr.write(visible(text))
        # Celery only logs exceptions of signal handlers; this one it lets through.
        raise SystemExit(REFUSED)


@signals.celeryd_init.connect(weak=False)
def refuse_without_rights(**_: Any) -> None:
    """End a worker whose user of Redis may not do what it needs; an outage is waited for."""
    fault = ""
    with contextlib.suppress(redis.RedisError, OSError):
        client = state_address().client(socket_connect_timeout=3, socket_timeout=3)
        with contextlib.closing(client):
            fault = rights_fault(client, state_address())
    if fault:
        sys.stderr.write(visible(f"{fault}\n"))
        raise SystemExit(REFUSED)


@signals.celeryd_init.connect(weak=False)
def refuse_with_few_files(options: Any = None, **_: Any) -> None:
    """End a worker that may open too few files to do its work."""
    if fault := files_fault((options or {}).get("concurrency")):
        sys.stderr.write(visible(f"{fault}\n"))
        raise SystemExit(REFUSED)


@signals.celeryd_init.connect(weak=False)
def keep_secrets(**_: Any) -> None:
    """Hide what the worker was started with; its pool's children inherit that."""
    hide()
    # Nor is the guard's descriptor for what this worker starts.
    if (guard := os.environ.pop(READY_FD, "")).isdecimal():
        _guards[:] = [int(guard)]
        os.set_inheritable(_guards[0], False)


@signals.worker_ready.connect(weak=False)
def tell_guard(**_: Any) -> None:
    """Tell the guard that this worker may hold work from now on."""
    while _guards:
        guard = _guards.pop()
        with contextlib.suppress(OSError):
            os.write(guard, b"1")
        os.close(guard)


@signals.celeryd_after_setup.connect(weak=False)
def consume_engine_queue(sender: Any, instance: Any, **_: Any) -> None:
    """Make a worker consume the engine's queue besides its own."""
    queues = instance.app.amqp.queues
    if ENGINE_QUEUE not in queues.consume_from:
        queue = Queue(ENGINE_QUEUE, Exchange(""), routing_key=ENGINE_QUEUE)
        queues.select_add(queue)


@signals.celeryd_after_setup.connect(weak=False)
def load_agents(**_: Any) -> None:
    """Import the agent modules before the pool forks; a broken one is told and left out.

    The worker serves what works; a step that needs a function of a broken module fails
    with the same text.
    """
    if AGENT_KIND not in spawner_kinds():
        return
    for text in broken_modules(settings.SWARM_AGENT_MODULES).values():
        logger.error("%s", text)
    for name, fault in function_faults().items():
        logger.error("the agent function %r can't be called: %s", name, fault)


@signals.after_setup_logger.connect(weak=False)
def be_as_loud_as_asked(loglevel: int | str | None = None, **_: Any) -> None:
    """Let `celery worker -l INFO` name each Celery task; by itself it is quiet."""
    if loglevel:
        logging.getLogger("celery").setLevel(loglevel)


@signals.worker_shutting_down.connect(weak=False)
def end_budgets(**_: Any) -> None:
    """Make children give work back as soon as shutdown begins.

    Runs in the signal handler of the main thread: a memory write and nothing else.
    """
    for step in _steps:
        step.page.drain()


@signals.worker_shutdown.connect(weak=False)
def end_keeper(**_: Any) -> None:
    """End the keeper after the pool has drained, and the steward with it."""
    for step in _steps:
        step.host.stop()
        if step.keeper is not None:
            step.keeper.stop()


@signals.worker_process_init.connect(weak=False)
def set_up_child(**_: Any) -> None:
    """Make a forked child its own: no steward's pipe, orphans of its agents adopted."""
    for step in _steps:
        # Only the main process may hold the pipe, else its end is never seen.
        step.host.forget()
    while _guards:
        os.close(_guards.pop())
    adopt_orphans()
    # A pool's child is daemonic, which forbids children of its own to multiprocessing.
    # They are ended with their step here, so functions may have them.
    current_process()._config["daemon"] = False
    # A pool that starts its children anew instead of forking them loses it.
    hide()
