"""The other side: plain Celery canvas with its best settings.

Also the app module of its worker (`celery -A tests.benchmarks.canvas`), which runs
without Django. Its keys start with `canvas:`, its broker is the same server's socket.
Chain and loop store no results; only the members of a chord do, since a chord counts
on them. Where a run has ended, its last task sets a key.
"""

import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import redis
from celery import Celery, chain, chord

SOCKET = os.environ.get("BENCH_SOCKET", "unset")
QUEUE = "canvas"
PROGRAM = ["true"]
"""What the steps of the row of child processes start."""
Launch = Callable[[], Any]

app = Celery("canvas", set_as_current=False, fixups=[])
app.conf.update(
    broker_url=f"redis+socket://{SOCKET}",
    result_backend=f"redis+socket://{SOCKET}",
    broker_transport_options={
        "global_keyprefix": "canvas:q:",
        "priority_steps": [0],
        "visibility_timeout": 3600,
    },
    result_backend_transport_options={"global_keyprefix": "canvas:r:"},
    result_expires=300,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    # 1, 4, 16 and 64 did not differ by more than the noise.
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "16")),
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
)


@cache
def _redis(pid: int) -> Any:
    return redis.Redis(unix_socket_path=SOCKET)


def mark(key: str) -> None:
    """Report to the harness that a run has ended."""
    _redis(os.getpid()).set(key, 1)


@app.task
def noop(ctx: Any) -> Any:
    """Do nothing: pass the Ctx of about 1 KB to the next task."""
    return ctx


@app.task
def program(ctx: Any) -> Any:
    """Run the program with the Ctx on its standard input, as a step of ours does."""
    given = json.dumps(ctx)
    subprocess.run(PROGRAM, input=given, capture_output=True, text=True, check=True)
    return ctx


@app.task
def last_program(ctx: Any, key: str) -> None:
    """Be the last program of a chain."""
    program(ctx)
    mark(key)


@app.task
def last(ctx: Any, key: str) -> None:
    """Be the last step of a chain."""
    mark(key)


@app.task
def again(ctx: Any, left: int, key: str) -> None:
    """Be one turn of a loop and enqueue the next."""
    if left > 1:
        again.apply_async((ctx, left - 1, key))
    else:
        mark(key)


@app.task(ignore_result=False)
def lane(ctx: Any, item: int) -> int:
    """Do nothing with one item of a fanout."""
    return 1


@app.task
def join(results: list[Any], key: str) -> None:
    """End a fanout."""
    mark(key)


def chain_of(length: int, ctx: Any, key: str) -> Launch:
    """Return what launches a chain; every task gets the Ctx from the one before."""
    tasks = [noop.s(ctx), *(noop.s() for _ in range(length - 2)), last.s(key)]
    return chain(*tasks).apply_async


def programs_of(length: int, ctx: Any, key: str) -> Launch:
    """Return what launches a chain of tasks that each run a program."""
    tasks = [program.s(ctx), *(program.s() for _ in range(length - 2))]
    return chain(*tasks, last_program.s(key)).apply_async


def loop_of(turns: int, ctx: Any, key: str) -> Launch:
    """Return what launches a loop: a task that enqueues itself.

    Faster than a chain of as many tasks, whose messages carry all tasks to come.
    """
    return again.s(ctx, turns, key).apply_async


def fanout_of(width: int, ctx: Any, key: str) -> Launch:
    """Return what launches a chord of that many tasks and a join."""
    return chord((lane.s(ctx, i) for i in range(width)), join.s(key)).apply_async
