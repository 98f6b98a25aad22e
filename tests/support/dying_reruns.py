"""Runs ended runs again from a step, each in a process that is killed in the middle.

Given the step's place, and for each run its id and how many calls to the scripts of Redis
are made before. Prints `killed` or `lived` for each.
"""

import os
import signal
import sys
from typing import Any

import django

django.setup()

from blueprints.models import Run  # noqa: E402
from engine.store.wire import Wire  # noqa: E402
from workers.runs.again import Place, rerun  # noqa: E402
from workers.wiring import make_store  # noqa: E402


def rerun_and_die(run: str, place: str, left: int) -> None:
    """Begin a run again; end this process at once before one call more."""
    script = Wire.script

    def counted(wire: Wire, *args: Any) -> Any:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return script(wire, *args)

    Wire.script = counted  # type: ignore[method-assign]
    rerun(make_store(), Run.objects.get(pk=run), Place(place))


place, *rest = sys.argv[1:]
for run, calls in zip(rest[::2], rest[1::2], strict=True):
    child = os.fork()
    if child == 0:
        rerun_and_die(run, place, int(calls))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print({0: "lived", -signal.SIGKILL: "killed"}[status])
