"""A store on a server of its own, and runs of one step in it, claimed or not."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flow_documents import echo_step
from store_server import running_server, server_pid

from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.run.drive.load import Loader
from engine.run.drive.start import start_of
from engine.store.base import ROOT, Ref
from engine.store.redis import RedisStore
from swarm_project.celery import app
from workers.broker.messages import message_template

QUEUE = "swarm.python_fn"
NONCE = "abcdef012345"
FLOW: Any = echo_step("echo", "$.n")


@contextmanager
def running_store(**more: Any) -> Iterator[RedisStore]:
    """Run a server and give a store on it."""
    with running_server() as socket:
        made = RedisStore(f"unix://{socket}", template=message_template(app), **more)
        yield made
        made.wire.close()


@contextmanager
def frozen(store: RedisStore) -> Iterator[None]:
    """Stop the server's process for the length of a block."""
    pid = server_pid(store)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def started(store: RedisStore, deadline_ms: int = 0) -> Ref:
    """Start a run of one step."""
    program = Program("b", FLOW, {"echo": Agent("echo", "python_fn", QUEUE, 60_000)})
    ref = Ref(f"R-{os.urandom(8).hex()}", 1, ROOT)
    store.start(
        start_of(ref.run, 1, Loader(store).prepare(program), {"n": 1}, deadline_ms)
    )
    return ref


def claimed(store: RedisStore) -> Ref:
    """Start a run and claim its first step."""
    ref = started(store)
    store.claim(ref, NONCE, QUEUE)
    return ref
