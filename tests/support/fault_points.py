"""Named points in a worker's life at which a test stops a child, to kill it there.

A test arms a point with a file; the first child that comes to it takes the file, tells
where it is and waits. So the test strikes a process that certainly is at the point.
Imported by worker processes through fault_agents.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

from engine.run.chain.chain import place_of
from engine.run.drive import lanes
from engine.run.drive.engine import Engine
from engine.run.drive.lanes import Batch
from engine.run.drive.load import Loader

FAULT_DIR = Path(os.environ.get("FAULT_DIR", "."))
ARMED, HELD, HIT = (FAULT_DIR / name for name in ("armed", "held", "hit"))


class Here:
    """Where this child is: a batch in its hands, or a chain and its attempts so far."""

    batch: Batch | None = None
    attempts = 0
    armed = ""
    passed_by = 0


def reached(point: str, **where: Any) -> None:
    """Wait here if a test has armed this point and no other process was faster.

    The armed file says which point, how many visits a child lets pass before, and
    whether only the worker `host` is meant or every other.
    """
    try:
        armed = ARMED.read_text()
    except FileNotFoundError:
        return
    if armed != Here.armed:
        Here.armed, Here.passed_by = armed, 0
    fault = json.loads(armed)
    if fault["point"] != point or (os.getppid() == fault["host"]) != fault["is_host"]:
        return
    Here.passed_by += 1
    if Here.passed_by <= fault["skip"]:
        return
    try:
        ARMED.rename(HELD)
    except FileNotFoundError:
        return
    new = FAULT_DIR / "hit.new"
    new.write_text(json.dumps({"pid": os.getpid(), **where}))
    new.rename(HIT)
    while HELD.exists():
        time.sleep(0.002)


def at_work(step: Any) -> None:
    """Report that an agent works on a step, and how the step was started."""
    batch = Here.batch
    if batch is not None:
        # No other process knows its results so far.
        hand = len(batch.results)
        if hand:
            reached("mid-batch", run=step.run, place=step.place, in_hand=hand)
        return
    Here.attempts += 1
    point = "mid-step" if Here.attempts == 1 else "mid-continuation"
    reached(point, run=step.run, place=step.place)


def follow(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Let `around(original, *args)` stand for a function."""
    original = getattr(owner, name)

    def followed(*args: Any, **more: Any) -> Any:
        return around(original, *args, **more)

    setattr(owner, name, followed)


def _driving(original: Any, *args: Any) -> Any:
    """Count the attempts of one claimed chain."""
    before = Here.batch, Here.attempts
    Here.batch, Here.attempts = None, 0
    try:
        return original(*args)
    finally:
        Here.batch, Here.attempts = before


def _lane(original: Any, engine: Engine, batch: Batch, *args: Any) -> Any:
    """Note the batch that a lane is worked off in."""
    Here.batch = batch
    try:
        return original(engine, batch, *args)
    finally:
        Here.batch = None


def _joined(original: Any, loader: Loader, ref: Any, prepared: Any, chain: Any) -> Any:
    """Be where a child has won a join and not read it yet."""
    reached("before-join", run=ref.run, place=place_of(prepared.layout, chain))
    return original(loader, ref, prepared, chain)


@worker_ready.connect(weak=False)
def tell_ready(**_: Any) -> None:
    """Note that this worker takes messages now."""
    (FAULT_DIR / f"ready-{os.getpid()}").touch()


follow(Engine, "drive", _driving)
follow(lanes, "_lane", _lane)
follow(Loader, "joined", _joined)
