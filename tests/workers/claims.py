"""Runs of one step, claimed or not, and a server that stands still."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.run.load import Loader
from engine.run.start import start_of
from engine.store.base import ROOT, Ref
from engine.store.redis import RedisStore

QUEUE = "swarm.python_fn"
NONCE = "abcdef012345"
FLOW: Any = {
    "kind": "step",
    "ref": "echo",
    "in": {"op": "path", "at": "$.n"},
    "out": {"op": "path", "at": "$.n"},
}


@contextmanager
def frozen(store: RedisStore) -> Iterator[None]:
    """Stop the server's process for the length of a block: it takes and says nothing."""
    told = store.wire.call("INFO", "server").decode()
    pid = int(told.partition("process_id:")[2].split()[0])
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
