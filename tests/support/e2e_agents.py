"""Agents of the end-to-end tests; every call is recorded in a file."""

import logging
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from celery import shared_task

from engine.agents import AgentFailed, agent_function

logger = logging.getLogger(__name__)


def note(text: str) -> None:
    with open(Path(os.environ["SWARM_VAR"]) / "calls", "a") as calls:
        calls.write(text + "\n")


@agent_function("e2e-nap")
def nap(value: Any, *, step: Any) -> Any:
    note(f"{step.place} {step.attempt}")
    time.sleep(float(value))
    return step.place


@agent_function("e2e-refuse")
def refuse(value: Any, *, step: Any) -> Any:
    raise AgentFailed("not today", permanent=True)


@agent_function("e2e-talk")
def talk(value: Any, *, step: Any) -> Any:
    step.progress("reading", "1 of 2")
    logger.info("read %s", value)
    note(f"{step.place} {step.attempt}")
    time.sleep(float(value))
    step.progress("writing")
    step.artifact("plan.md", "# Plan")
    return "done"


@agent_function("e2e-pid")
def pid(value: Any, *, step: Any) -> Any:
    return os.getpid()


@agent_function("e2e-fork")
def fork(value: Any, *, step: Any) -> Any:
    """Fork; the child comes back with an answer of its own, before the parent does."""
    pid = os.fork()
    if pid == 0:
        return "from the child"
    os.waitpid(pid, 0)
    return "from the parent"


@agent_function("e2e-squares")
def squares(value: list[int], *, step: Any) -> Any:
    with ProcessPoolExecutor(2) as executor:
        return list(executor.map(abs, value))


@agent_function("e2e-count")
def count(value: Any, *, step: Any) -> Any:
    """Return one more, and so much beside it that a small disk is soon full."""
    time.sleep(0.05)
    return {"count": value + 1, "blob": os.urandom(10_000).hex()}


@agent_function("e2e-evil")
def evil(value: Any, *, step: Any) -> Any:
    print(value)
    logger.warning("%s", value)
    step.progress(value, value)
    return value


@agent_function("e2e-die")
def die(value: int, *, step: Any) -> Any:
    """Kill the process it runs in, or leave it with an exit code."""
    if value < 0:
        os.kill(os.getpid(), -value)
        time.sleep(5)
    os._exit(value)


@agent_function("e2e-close")
def close(value: list[int], *, step: Any) -> Any:
    """Close descriptors, and open a file that takes the first of them."""
    os.closerange(*value)
    Path("/dev/zero").open("rb")  # noqa: SIM115 - left open on purpose
    return sorted(value)


@agent_function("e2e-stop")
def stop(value: Any, *, step: Any) -> Any:
    """Stop in the debugger."""
    note(f"{step.place} {step.attempt}")
    doubled = value * 2
    breakpoint()
    return doubled


@agent_function("e2e-flaky")
def flaky(value: Any, *, step: Any) -> Any:
    """Fail at the first attempt, then return the process that did it."""
    if step.attempt == 1:
        raise ValueError("not yet")
    return os.getpid()


@agent_function("e2e-timed")
def timed(value: Any, *, step: Any) -> Any:
    """Note when each attempt begins, and fail at the first."""
    note(f"{time.time()}")
    if step.attempt == 1:
        raise ValueError("not yet")
    return value


@agent_function("e2e-stubborn")
def stubborn(value: float, *, step: Any) -> Any:
    """Swallow all that would end it, for some seconds."""
    note(f"{step.place} {step.attempt}")
    end = time.monotonic() + value
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except BaseException:
            logger.info("swallowed")
    return "done"


@shared_task(name="e2e.other")
def other() -> None:
    """A Celery task of somebody else's, which is no step."""
