"""The steward's recoverer: a thread that rebuilds the runs that Redis has lost.

A replay takes its time, for which neither the archive nor timers and leases wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import close_old_connections, connections

from blueprints.models import Run
from blueprints.services.outputs import check_outputs
from engine.output_store import OutputsAway
from engine.store.redis import RedisStore
from workers.runs.reconciling import LIVE
from workers.runs.recovery import Unrecoverable, recover_run
from workers.steward.database_duties import NOT_ITS_FAULT, lower_thread_priority
from workers.steward.periodic import Failures

POLL_S = 0.5


class Recoverer(threading.Thread):
    """Recovers lost runs, the oldest first, while its steward leads."""

    def __init__(self, store: RedisStore, leads: Callable[[], bool]) -> None:
        """Prepare the thread; `leads` returns whether its steward has the lock now.

        The thread is a daemon: a database that hangs keeps no process alive.
        """
        super().__init__(name="swarm-recoverer", daemon=True)
        self.store = store
        self._leads = leads
        self._ending = threading.Event()

    def run(self) -> None:
        """Recover runs until `end`; a failure is logged and tried again."""
        lower_thread_priority()
        failures = Failures()
        while not self._ending.wait(failures.wait_s or POLL_S):
            try:
                if self._leads():
                    self.recover()
                failures.clear()
            except Exception as error:
                failures.note(error)
                close_old_connections()
        connections.close_all()

    def end(self) -> None:
        """End the thread after the run that it recovers."""
        self._ending.set()

    def recover(self) -> None:
        """Recover the runs that Redis has lost and that do not wait for a person.

        What is the fault of no run is raised at once, any other error after all runs.
        """
        failed: Exception | None = None
        lost = Run.objects.filter(status__in=LIVE).exclude(lost_status="")
        for pk in lost.order_by("pk").values_list("pk", flat=True):
            if self._ending.is_set() or not self._leads():
                return
            try:
                recover_run(self.store, lost.get(pk=pk))
            except Run.DoesNotExist:
                # It was cancelled, or another process has recovered it.
                continue
            except Unrecoverable:
                # It is interrupted, and that is logged.
                continue
            except OutputsAway as error:
                # A store that is away altogether is no run's fault, and ends the round.
                check_outputs()
                failed = RuntimeError(f"run {pk} is not recovered: {error}")
            except NOT_ITS_FAULT:
                raise
            except Exception as error:
                failed = RuntimeError(f"run {pk} is not recovered: {error!r}")
        if failed is not None:
            raise failed
