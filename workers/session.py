"""One run driven from a terminal: workers start, the run is followed, all is ended.

`manage.py run` and `manage.py runs resume` differ only in how the run begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, TextIO

import redis
from django.db import DatabaseError

from blueprints.command_line import typed
from blueprints.models import Run
from blueprints.selectors.runs import run_get, run_report, run_steps
from blueprints.services.installations import installation_name
from blueprints.terminal import Mouth
from engine.blueprint import Program
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.base import JournalEntry, StoreFull
from engine.store.redis import STATE, RedisStore
from workers.fleets import (
    Fleet,
    Place,
    SetupFailed,
    await_steward,
    migrate,
    redis_place,
    served,
    watch_server,
)
from workers.fleets_child import WARM_S
from workers.installation import ForeignRedis, hold_redis
from workers.live import View, view_for
from workers.live_progress import Progress, agents_at
from workers.rights import missing_right
from workers.room import GRACE_S, Overdue, Room
from workers.runtime import make_store
from workers.unserved import UnservedQueues

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
TIMED_OUT: Final = 3
INTERRUPTED: Final = 130

ARCHIVE_PATIENCE_S: Final = 60.0
PATIENCE_S: Final = 15.0
LOOK_MS: Final = 100
PAGE: Final = 500
LEASES: Final = f"{STATE}leases"

Begin = Callable[[RedisStore], Run]


@dataclass
class Interrupts:
    """What Ctrl-C does: the first interrupts, later ones (or any at the end) hurry."""

    hurry: Callable[[], None]
    closing: bool = False
    _old: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> Interrupts:
        """Take the signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, old in self._old.items():
            signal.signal(number, old)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.closing:
            self.hurry()
        else:
            self.closing = True
            raise KeyboardInterrupt


class Session:
    """Brings up what a run needs, follows it to its end and takes everything down."""

    def __init__(
        self,
        *,
        out: TextIO,
        err: TextIO,
        as_json: bool = False,
        keep: bool = False,
        concurrency: int = 2,
    ) -> None:
        """Prepare; nothing is started."""
        self.out, self.err = Mouth.over(out), Mouth.over(err)
        self.as_json, self.keep, self.concurrency = as_json, keep, concurrency
        self.fleet = Fleet()
        self.store: RedisStore | None = None
        self.run: Run | None = None
        self.run_id = ""
        self.view: View = view_for(self.err)
        self.progress: Progress | None = None
        self.adopted = False
        self.unserved: UnservedQueues | None = None
        self.room: Room | None = None

    def drive(
        self, name: str, queues: Sequence[str], begin: Begin, *, run_id: str
    ) -> int:
        """Carry one run to its end; returns the exit code, everything is told.

        `run_id` is the run that `begin` makes or takes up: its row may be there although
        `begin` was interrupted.
        """
        self.run_id = run_id
        with Interrupts(self.fleet.hurry) as interrupts:
            try:
                migrate()
                # Workers that serve these queues already are somebody else's to keep.
                self.adopted = self.keep and served().issuperset(queues)
                with redis_place(keep=self.keep and not self.adopted) as place:
                    try:
                        return self._carry(place, name, queues, begin)
                    except KeyboardInterrupt:
                        return self._interrupted()
                    finally:
                        interrupts.closing = True
                        self._take_down()
            except KeyboardInterrupt:
                return self._interrupted()
            except SetupFailed as error:
                text = str(error)
                if self.run is not None:
                    text += f"\nthe run is kept; carry it on with: {resume_line(self.run.pk)}"
                return self.refuse("SetupFailed", text)
            except Overdue as error:
                return self._overdue(str(error))
            except redis.NoPermissionError as error:
                return self.refuse("NoPermission", missing_right(error) + self._hint())
            except redis.RedisError as error:
                again = self._hint()
                text = f"Redis does not answer any more ({error}){again}"
                return self.refuse("RedisUnreachable", text)
            except DatabaseError as error:
                reason = str(error).strip().partition("\n")[0]
                text = f"the database failed ({reason}){self._hint()}"
                return self.refuse("DatabaseFailed", text)

    def _carry(
        self, place: Place, name: str, queues: Sequence[str], begin: Begin
    ) -> int:
        store = self.store = make_store(patience_s=PATIENCE_S)
        ours(store)
        # Workers take a second to start; the launch happens meanwhile.
        if self.concurrency and not self.adopted:
            self.fleet.start(
                place,
                queues,
                name=f"{name}-{os.getpid()}",
                concurrency=self.concurrency,
                keep=self.keep,
            )
        after = _journal_end(store)
        self.run = run = begin(store)
        program = Program.from_json(run.program)
        kinds = {agent.name: agent.kind for agent in program.agents.values()}
        self.progress = Progress(
            run.pk, program.blueprint_id, kinds, agents_at(program)
        )
        self.progress.skew_ms = store.now_ms() - round(time.time() * 1000)
        if run.archived_number or run.started_at is not None:
            # It may have moved before we looked: the archive first, then all there is.
            self.progress.seed(run_steps(run.pk))
            after = "0"
        if not self.fleet.members:
            # Workers of our own serve all it needs; others may not be there at all.
            self.unserved = UnservedQueues(store, program)
        self.room = Room(run)
        self.view.open(self.progress)
        try:
            final = self._follow(place, store, self.progress, after)
        finally:
            self.view.close(self.progress)
        return self._tell(final)

    def _follow(
        self, place: Place, store: RedisStore, progress: Progress, after: str
    ) -> Run:
        """Follow the journal until the archive knows the run's end."""
        next_look, ended_at, full = 0.0, 0.0, ""
        run = run_get(progress.run)
        while True:
            entries = store.journal(after, PAGE, 0 if progress.ended else LOOK_MS)
            if entries:
                self._take_in(entries, progress)
                after = entries[-1].id
            self.view.update(progress)
            now = time.monotonic()
            if now >= next_look or progress.ended:
                next_look = now + 1.0
                run = run_get(progress.run)
                if run.status in FINAL_RUN or run.status == RunStatus.INTERRUPTED:
                    progress.end(run.status, progress.now_ms())
                    return run
                self.fleet.check()
                full = self._tell_room(progress)
                if not progress.ended:
                    watch_server(place)
                    self._tell_unserved()
            if progress.ended and not entries:
                ended_at = ended_at or now
                if now - ended_at > (GRACE_S if full else ARCHIVE_PATIENCE_S):
                    self.view.say(
                        "the run has ended but the archive is not there yet; its end:"
                        f" {typed(f'runs show {progress.run}')}"
                    )
                    run.status, run.error = progress.ended, progress.error
                    return run
                time.sleep(0.05)

    def _take_in(self, entries: list[JournalEntry], progress: Progress) -> None:
        for entry in entries:
            if entry.run == progress.run:
                progress.apply(entry)
                if self.unserved is not None:
                    self.unserved.moved()

    def _tell_unserved(self) -> None:
        text = self.unserved.look() if self.unserved is not None else ""
        if text:
            self.view.say(text)

    def _tell_room(self, progress: Progress) -> str:
        """Tell once what is full; returns that as long as it is."""
        if self.room is None:
            return ""
        try:
            text = self.room.look()
        except Overdue:
            # It ended in time, only the archive does not know.
            if not progress.ended:
                # Nothing that its workers still do could be kept.
                self.fleet.hurry()
                raise
            text = ""
        if text:
            self.view.say(text)
        return self.room.full

    def _overdue(self, full: str) -> int:
        """Tell that the run's time is over although nobody can note it; the exit code."""
        text = (
            f"the run is past its deadline, and nobody can note it. {full}. This one ends"
            f" then; to see it: {resume_line(self.run_id)}"
        )
        if self.as_json:
            report = run_report(run_get(self.run_id))
            self._object({**report, "error": {"kind": "RunDeadline", "text": text}})
        self._say(text)
        return TIMED_OUT

    def _tell(self, run: Run) -> int:
        """Print how the run ended, as far as a person or a program wants to know."""
        report = run_report(run)
        if self.as_json:
            self._object(report)
        else:
            if report["ctx"] is not None:
                self.out.write(json.dumps(report["ctx"], indent=2, ensure_ascii=False))
                self.out.write("\n")
                self.out.flush()
                self._excuse(run)
            if error := report["error"]:
                self._say(f"{error.get('kind')}: {error.get('text')}")
        words = self.progress.count() if self.progress else ""
        self._say(f"run {run.pk} {run.status}: {words}")
        if run.status == RunStatus.INTERRUPTED:
            self._say("Redis lost this run's state; replay is not there yet")
        return exit_code(run)

    def _interrupted(self) -> int:
        if self.progress is not None and not self.as_json:
            self.view.close(self.progress)
        run = self._known()
        if run is None:
            return self.refuse("Interrupted", "interrupted; no run was started")
        line = resume_line(run.pk)
        if self.as_json:
            report = run_report(run_get(run.pk))
            text = f"interrupted; carry it on with: {line}"
            self._object({**report, "error": {"kind": "Interrupted", "text": text}})
        told = "interrupted."
        if self.fleet.members:
            told += (
                f" Steps under way have {WARM_S:.0f} s to end, Ctrl-C ends them now."
            )
        self._say(f"{told} The run is kept; carry it on with:\n  {line}")
        return INTERRUPTED

    def _take_down(self) -> None:
        finished = self.progress is not None and self.progress.ended
        if self.room is not None:
            self.room.close()
        if self.adopted:
            return
        if self.keep and finished:
            self.fleet.leave()
            stop = typed("up --stop")
            self._say(f"server and workers stay up; end them with: {stop}")
            return
        if finished and self._idle():
            # Celery takes seconds to end a pool; there is nothing to wait for.
            self.fleet.hurry()
        self.fleet.stop()
        await_steward()

    def _idle(self) -> bool:
        """Tell whether no worker holds a step of any run."""
        try:
            store = self.store
            return store is not None and not store.wire.call("ZCARD", LEASES)
        except redis.RedisError:
            return False

    def settled(self, run: Run, text: str) -> int:
        """Tell how a run stands that nothing is to be done for."""
        if self.as_json:
            self._object(run_report(run))
        self._say(text)
        return exit_code(run)

    def refuse(self, kind: str, text: str, **more: Any) -> int:
        """Tell why nothing came of it."""
        if self.as_json:
            error = {"kind": kind, "text": text, **more}
            run = self._known()
            self._object(
                {
                    "run": run.pk if run else None,
                    "status": "refused",
                    "ctx": None,
                    "error": error,
                    "steps": [],
                }
            )
        self._say(text)
        return INTERRUPTED if kind == "Interrupted" else REFUSED

    def _known(self) -> Run | None:
        """Return the run if it has a row, also where `begin` did not come to its end."""
        if self.run is None and self.run_id:
            with contextlib.suppress(DatabaseError, Run.DoesNotExist):
                self.run = run_get(self.run_id)
        return self.run

    def _hint(self) -> str:
        run = self._known()
        if run is None:
            return ""
        return f"; when it is back, carry the run on with: {resume_line(run.pk)}"

    def _object(self, value: Any) -> None:
        self.out.write(json.dumps(value, ensure_ascii=False) + "\n")
        self.out.flush()
        self._excuse(self._known())

    def _excuse(self, run: Run | None) -> None:
        """Tell where a result can be read that could not be written; it is kept."""
        if self.out.lost is not None and run is not None:
            self.out.excused = True
            show = typed(f"runs show {run.pk}")
            self._say(
                f"the result can't be written to standard output ({self.out.unread});"
                f" see it with: {show}"
            )

    def _say(self, text: str) -> None:
        self.err.write(text + "\n")
        self.err.flush()


def ours(store: RedisStore) -> None:
    """SetupFailed when this Redis belongs to another installation."""
    try:
        hold_redis(store, installation_name())
    except ForeignRedis as error:
        raise SetupFailed(str(error)) from None
    except StoreFull:
        # The launch says so, and a run that is resumed makes room.
        pass


def exit_code(run: Run) -> int:
    """Return the exit code that tells how a run ended."""
    if run.status == RunStatus.DONE:
        return DONE
    if (run.error or {}).get("kind") == "RunDeadline":
        return TIMED_OUT
    return FAILED


def resume_line(run: str) -> str:
    """Return the command that carries a run on."""
    return typed(f"runs resume {run}")


def _journal_end(store: RedisStore) -> str:
    newest: Any = store.wire.call("XREVRANGE", f"{STATE}j", "+", "-", "COUNT", 1)
    return newest[0][0].decode() if newest else "0"
