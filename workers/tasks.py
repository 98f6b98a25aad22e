"""The two Celery tasks. Both pass a delivery to the engine; the store has the rest."""

from __future__ import annotations

import os
from typing import Any

from billiard.pool import EX_RECYCLE
from celery import current_app, shared_task

from engine.run.drive import lanes
from workers.celery_worker.child_engine import process_engine
from workers.celery_worker.startup import install_keeper
from workers.process.descriptors import has_lost_descriptors
from workers.process.orphans import adopts_orphans, end_offspring

# Celery imports this module before it builds a worker, so a stock worker has it too.
install_keeper(current_app._get_current_object())


@shared_task(name="swarm.run_step", bind=True)
def run_step(self: Any, run: str, gen: int, addr: str) -> None:
    """Run the pending step of a chain or of a batch of lanes, and continue from there."""
    deliver(self.request.delivery_info["routing_key"], run, gen, addr)


@shared_task(name="swarm.advance_run", bind=True)
def advance_run(self: Any, run: str, gen: int, addr: str) -> None:
    """Advance a chain that waits for no agent."""
    deliver(self.request.delivery_info["routing_key"], run, gen, addr)


def deliver(queue: str, run: str, gen: int, addr: str) -> str:
    """Pass one delivery to this process's engine; return `ok` or why it did nothing."""
    engine = process_engine()
    try:
        return lanes.deliver(engine, run, gen, addr, queue)
    finally:
        if adopts_orphans():
            end_offspring()
            if has_lost_descriptors():
                # The pipe to the pool may be closed and its number reused by a file.
                os._exit(EX_RECYCLE)
