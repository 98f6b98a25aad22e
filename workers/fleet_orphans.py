"""What killed guards leave to the command that started them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from django.conf import settings

from workers.fleets_child import PATIENCE_S
from workers.kin import began, children
from workers.orphans import Orphans, courtesy, is_called
from workers.server import server_pids

WORKER = (b"\0celery\0-A\0swarm_project\0worker\0",)


def left_by(
    guards: Callable[[], Iterable[int]], hurried: Callable[[], bool]
) -> Orphans:
    """Adopt what guards leave from now on; other children stay this process's own.

    The embedded server is to outlive the command, whoever has started it. A worker whose
    guard was killed is shutting down, for which it has its time unless all is hurried.
    """
    before = {pid: began(pid) for pid in children(os.getpid())}

    def known(pid: int) -> bool:
        if pid in guards() or before.get(pid) == began(pid):
            return True
        return pid in server_pids(settings.VAR_DIR)

    def patience(pid: int) -> float:
        if is_called(pid, WORKER):
            return 0.0 if hurried() else PATIENCE_S
        return courtesy(pid)

    return Orphans(known, patience)
