"""Agents that note every run of theirs in a file, and faults injected into a worker.

Imported by worker processes (SWARM_AGENT_MODULES); FAULT_DIR says where to note.
"""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from blueprints.agents import agent_function

from engine.run.load import Loader

FAULT_DIR = Path(os.environ.get("FAULT_DIR", "."))


def note(step: Any) -> None:
    """Append a line for this run of an agent; O_APPEND writes are not mixed up."""
    line = f"{step.run} {step.place} {step.attempt} {os.getpid()} {time.time()}\n"
    fd = os.open(FAULT_DIR / "runs.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


@agent_function("fault-work")
def work(value: Any, *, step: Any) -> Any:
    """Sleep as long as the file `pace` says and return the input plus one."""
    note(step)
    time.sleep(float((FAULT_DIR / "pace").read_text()))
    return value + 1


@agent_function("fault-quick")
def quick(value: Any, *, step: Any) -> Any:
    """Return the input plus one, without a note."""
    return value + 1


@agent_function("fault-look")
def look(value: Any, *, step: Any) -> Any:
    """Return what a lane sees of its Ctx: its item and how many lines the document has."""
    return [value["n"], len(value["big"])]


@agent_function("fault-gil")
def hold_gil(seconds: float, *, step: Any) -> Any:
    """Hold the GIL in C for some seconds."""
    note(step)
    ctypes.PyDLL(None).sleep(int(seconds))
    return seconds


def die_before_join() -> None:
    """Kill this worker's process group where it has won a join, once a flag file."""
    joined = Loader.joined

    def dying(*args: Any) -> Any:
        try:
            os.unlink(FAULT_DIR / "die-before-join")
        except FileNotFoundError:
            return joined(*args)
        os.killpg(os.getpgid(0), signal.SIGKILL)
        return None

    Loader.joined = dying  # type: ignore[method-assign]


die_before_join()
