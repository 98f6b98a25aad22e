"""The two Celery tasks. Both hand a delivery to the engine; the store knows the rest."""

from __future__ import annotations

import os
from typing import Any

from billiard.pool import EX_RECYCLE
from celery import current_app, shared_task

from engine.run.lanes import deliver_batch
from engine.store.base import BatchRef, Ref
from workers.boot import add_to
from workers.execute import process_engine
from workers.process.descriptors import broken
from workers.process.offspring import adopts_orphans, end_own_offspring

# Celery imports this module before it builds a worker, so a stock worker has it too.
add_to(current_app._get_current_object())


@shared_task(name="swarm.run_step", bind=True)
def run_step(self: Any, run: str, gen: int, addr: str) -> None:
    """Make the pending step of a chain, or of a batch of lanes, and go on from there."""
    deliver(self.request.delivery_info["routing_key"], run, gen, addr)


@shared_task(name="swarm.advance_run", bind=True)
def advance_run(self: Any, run: str, gen: int, addr: str) -> None:
    """Move a chain that waits for no agent."""
    deliver(self.request.delivery_info["routing_key"], run, gen, addr)


def deliver(queue: str, run: str, gen: int, addr: str) -> str:
    """Hand one delivery to this process's engine; returns `ok` or why nothing was done."""
    engine = process_engine()
    chord, mark, span = addr.partition(":")
    try:
        if not mark:
            return engine.deliver(Ref(run, gen, addr), queue)
        lo, _, hi = span.partition("-")
        return deliver_batch(engine, BatchRef(run, gen, chord, int(lo), int(hi)), queue)
    finally:
        if adopts_orphans():
            end_own_offspring()
            if broken():
                # What it would tell its pool may go to a file of somebody else.
                os._exit(EX_RECYCLE)
