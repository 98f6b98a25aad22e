"""The kind python_fn: a timeout leaves no lock of logging locked."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.agents import agent_function
from engine.blueprint.program import Agent
from engine.ports import StepCall
from workers.spawners.python_fn import PythonFunctionSpawner

logger = logging.getLogger("test_alarm_agents")
TIMEOUT_S = 0.1


class SlowLock:
    """A handler's lock that takes a while between being taken and saying so."""

    def __init__(self, seconds: float) -> None:
        self.real = threading.RLock()
        self.seconds = seconds

    def acquire(self) -> bool:
        taken = self.real.acquire()
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            pass
        return taken

    def release(self) -> None:
        self.real.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()


@pytest.fixture
def handler() -> Iterator[logging.Handler]:
    made = logging.NullHandler()
    made.handle = lambda record: logging.Handler.handle(made, record)  # type: ignore[method-assign]
    logger.addHandler(made)
    yield made
    logger.removeHandler(made)


@agent_function("alarm-logs")
def logs(value: Any, *, step: Any) -> Any:
    while True:
        logger.warning("still here")
        time.sleep(0.02)


def attempt() -> Any:
    spec = {"fn_id": "alarm-logs"}
    agent = Agent("a", "python_fn", "swarm.python_fn", 1000, spec=spec)
    call = StepCall("R-1", 1, "/x", agent, 1, None, TIMEOUT_S)
    return PythonFunctionSpawner().run(call)


def is_free(lock: SlowLock) -> bool:
    """Return whether another thread gets the lock."""
    got: list[bool] = []

    def take() -> None:
        got.append(lock.real.acquire(timeout=0.2))
        if got[0]:
            lock.real.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return got[0]


def test_an_alarm_waits_until_a_lock_of_logging_is_given_back(
    handler: logging.Handler,
) -> None:
    lock: Any = SlowLock(0.15)
    handler.lock = lock
    outcome = attempt()
    assert outcome.kind == "timed_out"
    assert is_free(lock)


def test_logging_that_never_ends_is_interrupted_all_the_same(
    handler: logging.Handler,
) -> None:
    lock: Any = SlowLock(20.0)
    handler.lock = lock
    since = time.monotonic()
    outcome = attempt()
    assert outcome.kind == "timed_out"
    # The keeper would kill the process two seconds after the timeout.
    assert time.monotonic() - since < TIMEOUT_S + 1.5
