"""Drive one run from a terminal: start workers, follow the run, stop the workers.

`manage.py run` and `manage.py runs resume` differ only in how the run begins.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final

import redis
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from blueprints.child_programs import NO_PROGRAM
from blueprints.command_line import (
    REFUSED,
    file_to_write,
    first_line,
    names,
    typed,
    whole_number,
)
from blueprints.models import Run
from blueprints.preflight import missing_parts
from blueprints.selectors.runs import run_get, run_steps
from blueprints.services.outputs import ensure_outputs
from blueprints.services.runs import Launch
from engine.blueprint import BlueprintInvalid, Program
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.redis import STATE, RedisStore
from workers.broker.installation import ForeignRedis
from workers.celery_worker.in_process import InProcessWorker
from workers.fleet.fleet import (
    Fleet,
    await_steward,
    end_dead_leases,
    queues_of,
)
from workers.fleet.in_process_lock import refuse_beside_in_process, work_alone
from workers.fleet.prerequisites import (
    Place,
    SetupFailed,
    migrate,
    redis_place,
    watch_server,
)
from workers.fleet.records import Record, serving
from workers.fleet.running_sources import OtherSources, compare, needs_of
from workers.fleet.unserved_queues import UnservedQueues
from workers.fleet.worker_guard import WARM_S
from workers.runs.control import StateLost, resume_run
from workers.runs.full_storage import GRACE_S, Overdue, StorageWatch
from workers.runs.launch import NOT_OURS, LaunchRefused, launch
from workers.runs.reconciling import reconcile
from workers.runs.recovery import Unrecoverable
from workers.terminal.reporter import Reporter
from workers.terminal.run_progress import RunProgress
from workers.terminal.run_view import View, view_for
from workers.wiring import make_store

MAX_CONCURRENCY: Final = 256
ARCHIVE_WAIT_S: Final = 60.0
REDIS_PATIENCE_S: Final = 15.0
JOURNAL_WAIT_MS: Final = 100
JOURNAL_BATCH: Final = 500
LEASES: Final = f"{STATE}leases"
LEASED: Final = (
    "Some steps are with workers that may be dead; those start again when their leases"
    " end, after {seconds:.0f} s at most."
)
REPORTED_ERRORS: Final = (
    SetupFailed,
    LaunchRefused,
    StateLost,
    Unrecoverable,
    ForeignRedis,
    redis.RedisError,
    DatabaseError,
)

process_count = whole_number(1, MAX_CONCURRENCY)


def add_session_arguments(parser: CommandParser) -> None:
    """Add the arguments of every command that follows a run."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object to standard output"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=file_to_write,
        metavar="FILE",
        help="write the result to a file, not to standard output",
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="show no progress and no findings of `blueprint lint`, only the result,"
        " other warnings and errors",
    )
    parser.add_argument(
        "--keep-workers", action="store_true", help="leave server and workers running"
    )
    workers = parser.add_mutually_exclusive_group()
    workers.add_argument(
        "--own-workers",
        action="store_true",
        help="start workers even if those of `up` or --keep-workers are running",
    )
    workers.add_argument(
        "--no-workers",
        action="store_true",
        help="start no workers: others do the steps, such as a fleet elsewhere",
    )
    workers.add_argument(
        "--in-process",
        action="store_true",
        help="do the steps in this process, one at a time, so that breakpoint() works;"
        " Python functions have no timeout then",
    )
    add_concurrency(parser, "worker processes to start (2)")


def add_worker_arguments(parser: CommandParser, processes: str, queues: str) -> None:
    """Add the arguments of every command that serves queues; the texts describe them."""
    add_concurrency(parser, processes)
    parser.add_argument("--queues", type=names, default=[], metavar="a,b", help=queues)


def add_concurrency(parser: CommandParser, text: str) -> None:
    """Add --concurrency, from 1 to MAX_CONCURRENCY; `text` describes it."""
    parser.add_argument(
        "--concurrency", type=process_count, default=2, metavar="N", help=text
    )


@dataclass(frozen=True, slots=True)
class Follow:
    """The request to follow an open run to its end, with its program.

    One that `only_watches` leaves the run to other workers; else it is resumed first.
    """

    run: Run
    program: Program
    only_watches: bool = False

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.run.pk


@contextlib.contextmanager
def command_errors() -> Iterator[None]:
    """Turn an error that ends a command into one line and exit code 2."""
    try:
        yield
    except (SetupFailed, StateLost, Unrecoverable, ForeignRedis) as error:
        text = str(error)
    except redis.RedisError as error:
        text = f"Redis failed: {error}"
    except DatabaseError as error:
        text = f"The database failed: {first_line(error)}"
    else:
        return
    raise CommandError(text, returncode=REFUSED)


class Interrupts(contextlib.ExitStack):
    """Handle Ctrl-C: the first one interrupts, each later one kills the workers."""

    def __init__(self, fleet: Fleet) -> None:
        """Install the signal handlers; the end of the block restores those before."""
        super().__init__()
        self.fleet, self.closing = fleet, False
        for number in (signal.SIGINT, signal.SIGTERM):
            self.callback(signal.signal, number, signal.signal(number, self._caught))

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.closing:
            self.fleet.hurry()
        else:
            self.closing = True
            raise KeyboardInterrupt


class Session:
    """Start what a run needs, follow the run to its end and stop what was started."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Keep the options that `add_session_arguments` declares; start nothing."""
        quiet = options["quiet"]
        self.reporter = Reporter(
            sys.stdout,
            sys.stderr,
            as_json=options["json"],
            output=options["output"],
            quiet=quiet,
        )
        self.keep, self.own = options["keep_workers"], options["own_workers"]
        self.concurrency = 0 if options["no_workers"] else options["concurrency"]
        self.fleet = Fleet()
        self.command = (
            f"run {options['file']}"
            if "file" in options
            else f"runs resume {options['run']}"
        )
        self.in_process: bool = options["in_process"]
        self.worker: InProcessWorker | None = None
        self.alone: int | None = None
        """The descriptor of the lock, while the steps are done in this process."""
        self.store: RedisStore | None = None
        # A tree that is drawn again and again would run over a debugger's lines.
        plain = self.in_process
        self.view: View = view_for(self.reporter.err, quiet=quiet, plain=plain)
        self.progress: RunProgress | None = None
        self.only_watches = False
        self.shared: list[Record] = []
        """The running fleets that do the steps, in place of own workers."""

    def require_parts(self, program: Program, document: Any = None) -> None:
        """Check that this host has all parts a program needs; raise BlueprintInvalid.

        Without own workers, a missing executable is a warning: others may have it.
        """
        missing = missing_parts(program, document)
        if not self.concurrency:
            for one in (one for one in missing if one.kind == NO_PROGRAM):
                self.reporter.err.print(f"{one}; check that the workers have it")
            missing = [one for one in missing if one.kind != NO_PROGRAM]
        if missing:
            raise BlueprintInvalid(missing)

    def drive(self, request: Launch | Follow) -> int:
        """Bring one run to its end and print how it ended; return the exit code."""
        self.reporter.run_id = request.run_id
        self.only_watches = isinstance(request, Follow) and request.only_watches
        if self.in_process and self.keep:
            text = "--in-process starts no workers, so --keep-workers has none to keep"
            return self.reporter.refuse("Usage", text)
        queues = queues_of(request.program)
        with Interrupts(self.fleet) as interrupts:
            try:
                migrate()
                if self.concurrency and not self.own and not self.in_process:
                    self.shared = serving(queues)
                if not self.only_watches:
                    self._enter(request, queues)
                with redis_place(keep=self.keep and not self.shared) as place:
                    try:
                        return self._run(place, request)
                    except KeyboardInterrupt:
                        return self._interrupted()
                    finally:
                        interrupts.closing = True
                        self._stop_workers()
            except KeyboardInterrupt:
                return self._interrupted()
            except Overdue as error:
                return self.reporter.overdue(str(error))
            except REPORTED_ERRORS as error:
                return self.reporter.failed(error)
            finally:
                # What was recorded where Redis then can't be used.
                self.fleet.stop()

    def _interrupted(self) -> int:
        if self.progress is not None and not self.reporter.as_json:
            self.view.close(self.progress)
        others_go_on = self.shared or self.only_watches or not self.concurrency
        if others_go_on and self.reporter.began:
            others = ", ".join(kept.name for kept in self.shared)
            who = f"the workers of {others}" if others else "other workers"
            return self.reporter.left_to(who)
        more = ""
        if self.fleet.members:
            more = f" Running steps have {WARM_S:.0f} s to end; Ctrl-C kills them now."
        elif self.worker is not None:
            more = " Its step starts again when it is resumed, here with --in-process."
        return self.reporter.interrupted(more)

    def _run(self, place: Place, request: Launch | Follow) -> int:
        store = self.store = make_store(patience_s=REDIS_PATIENCE_S)
        require_own_stores(store)
        if self.in_process:
            self.alone = work_alone()
        elif self.concurrency:
            refuse_beside_in_process()
        # Workers take a second to start; the launch happens meanwhile.
        dead = end_dead_leases(store, place)
        self._start_workers(place, queues_of(request.program))
        after = _journal_end(store)
        match request:
            case Launch():
                run = launch(store, request)
            case Follow(only_watches=True):
                run = request.run
            case Follow():
                run = resume_run(store, request.run)
                if not dead and store.leased(run.pk):
                    self.reporter.note(LEASED.format(seconds=2 * settings.SWARM_LEASE))
        self.reporter.began = True
        progress = self.progress = RunProgress(run.pk, request.program)
        progress.skew_ms = store.now_ms() - round(time.time() * 1000)
        if run.archived_number or run.started_at is not None:
            # Steps may have ended already: show the archived ones, then all entries.
            progress.seed(run_steps(run))
            after = "0"
        # Own workers serve all queues of the run; other workers may not run at all.
        own = self.fleet.members or self.worker
        unserved = None if own else UnservedQueues(store, request.program)
        self.view.open(progress)
        try:
            with contextlib.closing(StorageWatch(run)) as storage:
                follow = partial(
                    self._follow, place, store, progress, after, storage, unserved
                )
                final = self.worker.work_beside(follow) if self.worker else follow()
        finally:
            self.view.close(progress)
        return self.reporter.ended(final, progress.count())

    def _start_workers(self, place: Place, queues: Sequence[str]) -> None:
        """Start what does the steps, unless others do them."""
        if self.in_process:
            self.worker = InProcessWorker(queues)
            self.reporter.err.print(*self.worker.start())
        elif self.shared:
            self._print_shared()
        elif self.concurrency:
            self.fleet.start(place, concurrency=self.concurrency, keep=self.keep)

    def _print_shared(self) -> None:
        """Print which fleets do the steps."""
        names = ", ".join(kept.name for kept in self.shared)
        self.reporter.note(
            f"The workers of {names} do the steps. {typed('up --stop')} ends them,"
            " --own-workers starts others beside them."
        )

    def _enter(self, request: Launch | Follow, queues: Sequence[str]) -> None:
        """Refuse a run beside workers that have other sources than are here.

        One whose steps are done here is recorded. With --no-workers that is only told.
        """
        verb = "run" if isinstance(request, Launch) else "resume"
        record = Record(
            f"{verb}-{os.getpid()}",
            f"`{typed(self.command)}`",
            os.getpid(),
            tuple(queues) if self.concurrency and not self.shared else (),
            self.keep,
            needs_of(request.program.agents.values()),
        )
        try:
            if record.queues:
                self.fleet.enter(record)
            else:
                compare(record)
        except OtherSources as error:
            if self.concurrency:
                raise SetupFailed(
                    f"Running workers are not used: {error} (with --no-workers they do the"
                    " steps as they are)"
                ) from None
            self.reporter.err.print(str(error))

    def _follow(
        self,
        place: Place,
        store: RedisStore,
        progress: RunProgress,
        after: str,
        storage: StorageWatch,
        unserved: UnservedQueues | None,
    ) -> Run:
        """Follow the journal until the run's end is archived; return the run."""
        next_check, ended_at = 0.0, 0.0
        run = run_get(progress.run)
        while not (self.worker and self.worker.left.is_set()):
            wait_ms = 0 if progress.ended else JOURNAL_WAIT_MS
            entries = store.journal(after, JOURNAL_BATCH, wait_ms)
            for entry in entries:
                after = entry.id
                if progress.apply(entry) and unserved is not None:
                    unserved.moved()
            self.view.update(progress)
            now = time.monotonic()
            if now >= next_check or progress.ended:
                next_check = now + 1.0
                run = run_get(progress.run)
                if run.status in FINAL_RUN or run.status == RunStatus.INTERRUPTED:
                    progress.end(run.status, progress.now_ms())
                    return run
                self.fleet.check()
                self._check_storage(storage, progress)
                if not progress.ended:
                    watch_server(place)
                    if unserved is not None and (text := unserved.new_warning()):
                        self.view.print(text)
            if progress.ended and not entries:
                ended_at = ended_at or now
                if now - ended_at > (GRACE_S if storage.full else ARCHIVE_WAIT_S):
                    self.view.print(
                        "The run has ended, but its history is not archived yet. See it"
                        f" later with: {typed(f'runs show {progress.run}')}"
                    )
                    run.status, run.error = progress.ended, progress.error
                    return run
                time.sleep(0.05)
        return run

    def _check_storage(self, storage: StorageWatch, progress: RunProgress) -> None:
        """Print that storage is full, or no longer full, when that changes."""
        try:
            if text := storage.check():
                self.view.print(text)
        except Overdue:
            # A run that has ended met its deadline; only its archive is late.
            if not progress.ended:
                # No result of its workers can be stored any more.
                self.fleet.hurry()
                raise

    def _stop_workers(self) -> None:
        finished = self.progress is not None and self.progress.ended
        if self.shared:
            return
        if self.worker is not None:
            self.worker.stop()
        if self.keep and finished and self.fleet.members:
            self.fleet.leave()
            self.reporter.err.print(
                f"Server and workers keep running. Stop them with: {typed('up --stop')}"
            )
            return
        if finished and self._is_idle():
            # Celery takes seconds to end a pool; no step is left to wait for.
            self.fleet.hurry()
        self.fleet.stop()
        await_steward()
        if self.alone is not None:
            os.close(self.alone)

    def _is_idle(self) -> bool:
        """Return whether no worker holds a lease, for any run."""
        try:
            store = self.store
            return store is not None and not store.wire.call("ZCARD", LEASES)
        except redis.RedisError:
            return False


def require_own_stores(store: RedisStore) -> None:
    """Reconcile the data of Redis; raise SetupFailed if it or the outputs are not ours."""
    try:
        reconcile(store)
        ensure_outputs()
    except NOT_OURS as error:
        raise SetupFailed(str(error)) from None


def _journal_end(store: RedisStore) -> str:
    newest: Any = store.wire.call("XREVRANGE", f"{STATE}j", "+", "-", "COUNT", 1)
    return newest[0][0].decode() if newest else "0"
