"""A worker process's engine: made after the fork, bound to its slot of the page."""

from __future__ import annotations

import itertools
import os
import threading

from billiard.process import current_process
from celery import current_app

from engine.ports import NoWatch, Watch
from engine.run.engine import Engine
from workers.page import SLOTS, Page, SlotWatch
from workers.runtime import make_engine

# Set by workers/boot.py before the pool forks; None outside a worker.
_pages: list[Page] = []
_local = threading.local()
_threads = itertools.count()


def use_page(page: Page) -> None:
    """Show what this process and its children do on `page`."""
    _pages[:] = [page]


def process_engine() -> Engine:
    """Return the engine of this process and thread, made at its first delivery."""
    if getattr(_local, "pid", None) != os.getpid():
        queues = frozenset(current_app.amqp.queues.consume_from)
        _local.engine = make_engine(queues, _watch())
        _local.pid = os.getpid()
    engine: Engine = _local.engine
    return engine


def _watch() -> Watch:
    if not _pages:
        return NoWatch()
    # A replaced child gets the lowest free index, so one live process owns a slot. The
    # solo pool has no index; threads share a process and count.
    index = getattr(current_process(), "index", None)
    slot = next(_threads) if index is None else index
    if slot >= SLOTS:
        # Unseen by the keeper its leases would end and every long step run twice.
        raise RuntimeError(
            f"this worker has more than {SLOTS} children: lower --concurrency and start"
            " a second worker instead"
        )
    return SlotWatch(_pages[0], slot)
