"""Agents that record every call in a file, and agents that break the rules.

Imported by worker processes (SWARM_AGENT_MODULES); FAULT_DIR says where to note.
"""

import ctypes
import itertools
import os
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import Any

from fault_points import at_work

from engine.agents import agent_function

FAULT_DIR = Path(os.environ.get("FAULT_DIR", "."))


def note(step: Any) -> None:
    """Append a line for this run of an agent; O_APPEND writes are not mixed up."""
    what = f"{step.run} {step.place} {step.attempt}"
    line = f"{what} {os.getpid()} {time.time()} {step.step_id}\n"
    fd = os.open(FAULT_DIR / "runs.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


@agent_function("fault-work")
def work(value: Any, *, step: Any) -> Any:
    """Sleep for the seconds in the file `pace` and return the input plus one."""
    note(step)
    at_work(step)
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


@agent_function("fault-spin")
def spin(value: Any, *, step: Any) -> Any:
    """Hold the GIL in C for ever: no signal handler of Python gets a turn."""
    note(step)
    deque(itertools.repeat(None), maxlen=0)


@agent_function("fault-raise")
def fail(value: Any, *, step: Any) -> Any:
    """Raise."""
    raise ValueError("no such customer")


@agent_function("fault-not-json")
def not_json(value: Any, *, step: Any) -> Any:
    """Return a value that is not JSON."""
    return {"file": object()}


@agent_function("fault-nan")
def nan(value: Any, *, step: Any) -> Any:
    """Return what JSON has no word for."""
    return [float("nan")]


@agent_function("fault-sleep")
def oversleep(value: Any, *, step: Any) -> Any:
    """Sleep past any timeout."""
    time.sleep(60)


@agent_function("fault-stubborn")
def stubborn(value: Any, *, step: Any) -> Any:
    """Catch everything and sleep on."""
    note(step)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@agent_function("fault-fork")
def fork(value: Any, *, step: Any) -> Any:
    """Leave a process behind and sleep past the timeout."""
    subprocess.Popen(["sleep", "77"], start_new_session=True)
    time.sleep(60)


@agent_function("fault-exit")
def leave(value: Any, *, step: Any) -> Any:
    """Ask Python to exit."""
    raise SystemExit(3)


@agent_function("fault-die")
def die(value: Any, *, step: Any) -> Any:
    """Kill the process it runs in."""
    note(step)
    os.kill(os.getpid(), signal.SIGKILL)
