"""Does the steps of a run in this process, so that a debugger has the terminal.

It consumes the run's queues by kombu alone. Celery's solo pool would treat this process
as a child that it may set up: it would end the steward and the embedded server after each
delivery, as what agents left behind, and count Ctrl-C as a lost worker.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final, TypeVar

from celery import current_app
from django.db import connections

from blueprints.conf import load_kinds, spawner_class, spawner_kinds
from engine.run.drive import lanes
from workers.broker.message_checks import shown
from workers.broker.messages import OURS
from workers.broker.transport import as_json, set_aside
from workers.celery_worker.child_engine import process_engine, use_table
from workers.celery_worker.claim_table import ClaimTable
from workers.celery_worker.keeper import Keeper
from workers.celery_worker.startup import keeper_store
from workers.process.posix import hide
from workers.steward.candidate import StewardHost
from workers.wiring import AWAY, debug_kinds

POLL_S: Final = 0.2
"""How long the loop waits for a message before it asks whether the run has ended."""
AWAY_S: Final = 0.5
"""How long the loop pauses before it connects again to a Redis that is away."""

T = TypeVar("T")


class InProcessWorker:
    """Makes the attempts of the main thread; a keeper thread renews their leases.

    The keeper kills nothing here, and the agents whose code runs in this process have no
    timeout: a function that a debugger has stopped stays as long as it likes.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        """Prepare to consume these queues; nothing is connected yet."""
        self._queues = queues
        self._ends = contextlib.ExitStack()
        self.left = Event()
        """Set when this process does no more steps, though the run may be open."""

    def start(self) -> list[str]:
        """Start the keeper, and so the steward; return the faults of agent modules."""
        hide()
        current_app.loader.import_default_modules()
        current_app.amqp.queues.select(self._queues)
        debug_kinds(kind for kind in spawner_kinds() if spawner_class(kind).debuggable)
        table, host = ClaimTable(), StewardHost()
        use_table(table)
        keeper = Keeper(keeper_store(), table, lambda: None, host.tick)
        keeper.start()
        self._ends.callback(host.stop)
        self._ends.callback(keeper.join, 2.0)
        self._ends.callback(keeper.stop)
        return load_kinds(spawner_kinds())

    def stop(self) -> None:
        """End keeper and steward."""
        self._ends.close()

    def work_beside(self, follow: Callable[[], T]) -> T:
        """Do steps until `follow`, in a thread of its own, has returned; return its result.

        It has to return soon after `left` is set.
        """
        with ThreadPoolExecutor(1) as threads:
            followed = threads.submit(_closing, follow)
            try:
                self._work_until(followed.done)
            finally:
                self.left.set()
            return followed.result()

    def _work_until(self, done: Callable[[], bool]) -> None:
        """Do steps until `done`; Ctrl-C, or `q` in the debugger, is a KeyboardInterrupt.

        A step that is interrupted waits in its queue again.
        """
        before = signal.getsignal(signal.SIGINT)
        try:
            while not done():
                try:
                    self._consume_until(done)
                except AWAY:
                    # Those who follow the run report it.
                    time.sleep(AWAY_S)
        finally:
            signal.signal(signal.SIGINT, before)

    def _consume_until(self, done: Callable[[], bool]) -> None:
        app = current_app
        with app.connection_for_read() as connection:
            consumer = app.amqp.TaskConsumer(
                connection.default_channel,
                queues=list(app.amqp.queues.consume_from.values()),
                on_message=_deliver,
                prefetch_count=1,
            )
            with consumer:
                while not done():
                    # After `continue` a debugger leaves a handler of its own.
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    with contextlib.suppress(TimeoutError):
                        connection.drain_events(timeout=POLL_S)


def _closing(follow: Callable[[], T]) -> T:
    try:
        return follow()
    finally:
        # Those of this thread.
        connections.close_all()


def _deliver(message: Any) -> None:
    """Do the work of one message, then take it off its queue.

    The transport has checked it. A Celery task of somebody else's is set aside: only a
    worker of Celery can call it.
    """
    queue, task = message.delivery_info["routing_key"], message.headers["task"]
    if task in OURS:
        run, gen, addr = message.payload[0]
        lanes.deliver(process_engine(), run, gen, addr, queue)
    else:
        why = f"task {shown(task)} is no step, and --in-process does steps alone"
        set_aside(queue, why, as_json(message._raw))
    message.ack()
