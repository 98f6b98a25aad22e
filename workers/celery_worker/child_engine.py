"""A worker process's engine: made after the fork, bound to its slot of the claim table."""

from __future__ import annotations

import itertools
import os
import threading

from billiard.process import current_process
from celery import current_app

from engine.ports import Watch
from engine.run.drive.engine import Engine
from workers.celery_worker.claim_table import SLOTS, ClaimTable, SlotWatch
from workers.wiring import make_engine

# Set by workers/celery_worker/startup.py before the pool forks; None outside a worker.
_tables: list[ClaimTable] = []
_local = threading.local()
_threads = itertools.count()


def use_table(table: ClaimTable) -> None:
    """Show the claims of this process and its children in `table`."""
    _tables[:] = [table]


def process_engine() -> Engine:
    """Return the engine of this process and thread, made at its first delivery."""
    if getattr(_local, "pid", None) != os.getpid():
        queues = frozenset(current_app.amqp.queues.consume_from)
        _local.engine = make_engine(queues, _watch())
        _local.pid = os.getpid()
    engine: Engine = _local.engine
    return engine


def _watch() -> Watch:
    if not _tables:
        return Watch()
    # A new child gets the lowest free index, so one live process owns a slot. Without an
    # index (the solo and threads pools) each thread takes the next number.
    index = getattr(current_process(), "index", None)
    slot = next(_threads) if index is None else index
    if slot >= SLOTS:
        # Without a slot the keeper renews no leases, and every long step runs twice.
        raise RuntimeError(
            f"this worker has more than {SLOTS} children: lower --concurrency and start"
            " a second worker instead"
        )
    return SlotWatch(_tables[0], slot)
