"""Starts and ends worker processes.

Each worker has a guard (worker_guard.py), which restarts it, and ends it when the command
ends, also after `kill -9`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from blueprints.agent_modules import added_folders
from blueprints.command_line import CODE
from blueprints.conf import spawner_class
from engine.agents import LIBRARIES
from engine.blueprint import Program
from engine.blueprint.program import QUEUE_SUFFIX
from engine.store.base import ENGINE_QUEUE
from engine.store.redis import RedisStore
from engine.store.server_url import ServerUrl
from workers.embedded_server.files import tail
from workers.embedded_server.server import server_pids
from workers.fleet import worker_guard
from workers.fleet.prerequisites import Place, SetupFailed
from workers.fleet.records import Held, Record, hold_record, sources_file
from workers.fleet.running_sources import SOURCES_FILE, enter
from workers.process.orphans import Orphans, courtesy
from workers.process.posix import (
    began,
    children,
    hide,
    is_called,
    is_locked,
)
from workers.steward.candidate import leaving_steward, steward_lock

TRIES = 3
"""Short lives of a worker in a row after which a command gives up."""
HEALTHY_S = 60.0
"""A guard that has lived so long is healthy: its earlier ends no longer count."""
LOGS_KEPT = 20
STEWARD_S = 10.0
"""How long a steward that is asked to leave may archive before it is killed."""
WORKER = (b"\0celery\0-A\0swarm_project\0worker\0",)


def queues_of(program: Program) -> list[str]:
    """Return the queues a run of this program needs."""
    return sorted({ENGINE_QUEUE, *(a.queue for a in program.agents.values())})


def queues_of_kinds(kinds: Iterable[str]) -> list[str]:
    """Return the queues of agent kinds, urgent ones first, and the engine's."""
    own = [
        f"swarm.{kind}{suffix}" for suffix in QUEUE_SUFFIX.values() for kind in kinds
    ]
    return [*own, ENGINE_QUEUE]


def pool_of(kinds: Sequence[str], requested: str | None = None) -> str:
    """Return the requested pool, otherwise the one that suits all kinds.

    Raises SetupFailed for a pool in which the timeouts of a kind can't be enforced.
    """
    spawners = {kind: spawner_class(kind) for kind in kinds}
    for spawner in spawners.values():
        if requested is not None and requested in spawner.pools_refused:
            raise SetupFailed(spawner.pools_refused[requested])
    if requested is not None:
        return requested
    wanted = {kind: spawner.pool for kind, spawner in spawners.items()}
    pools = set(wanted.values())
    if len(pools) == 1:
        return pools.pop()
    wants = ", ".join(f"{kind} wants {pool}" for kind, pool in sorted(wanted.items()))
    raise SetupFailed(
        f"one pool does not suit all: {wants}; start one fleet each, or choose with"
        " --pool"
    )


def worker_command(
    queues: Sequence[str], *, name: str, concurrency: int, pool: str = "prefork"
) -> list[str]:
    """Return the command line of a Celery worker."""
    return [
        sys.executable, "-m", "celery", "-A", "swarm_project", "worker",
        "--pool", pool, "--concurrency", str(concurrency), "-Q", ",".join(queues),
        "--without-gossip", "--without-mingle", "--without-heartbeat",
        "--loglevel", "WARNING", "-n", f"{name}@%h",
    ]  # fmt: skip


def worker_env(server_url: ServerUrl, concurrency: int) -> dict[str, str]:
    """Return the environment of a worker that serves the Redis at `server_url`."""
    return {"SWARM_CONSUMERS": str(concurrency), **process_env(server_url)}


def process_env(server_url: ServerUrl) -> dict[str, str]:
    """Return the environment of a process that uses the Redis at `server_url`."""
    paths = [str(settings.SWARM_PROJECT_DIR), os.environ.get("PYTHONPATH", "")]
    if not f"{CODE}{os.sep}".startswith(LIBRARIES):
        # A checkout that is not installed.
        paths.insert(1, str(CODE))
    added = ",".join(added_folders())
    return {
        **os.environ,
        **({"SWARM_FN_DIRS": added} if added else {}),
        "SWARM_REDIS_URL": server_url.url,
        "SWARM_VAR": str(settings.VAR_DIR),
        # Workers run in the caller's directory, so that relative paths mean the same.
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


@dataclass
class Member:
    """One worker, under a guard that can be started again."""

    command: list[str]
    env: dict[str, str]
    log: Path
    keep: bool
    record: int
    """The descriptor of the record, which its guards inherit."""
    noun: str = "worker"
    guard: subprocess.Popen[bytes] = field(init=False)
    starts: int = 0
    """How often its guard was started in a row without a healthy life between."""
    began: float = field(init=False)

    def start(self) -> None:
        """Start a guard; without `keep` it ends its worker at the end of its pipe."""
        with open(self.log, "ab") as output:
            self.guard = subprocess.Popen(  # noqa: S603 - our own programs
                self.command,
                stdin=subprocess.DEVNULL if self.keep else subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self.env,
                # Ctrl-C in a terminal is for the command, which then ends the worker.
                start_new_session=True,
                pass_fds=(self.record,),
            )
        self.starts += 1
        self.began = time.monotonic()


@dataclass
class Fleet:
    """Workers started by this command, each under its guard."""

    members: list[Member] = field(default_factory=list)
    hurried: bool = False
    held: Held | None = None
    """The record of this command, from before its workers start until they have ended."""
    _also_held: list[Held] = field(default_factory=list)
    _orphans: Orphans | None = None
    """The orphans of killed guards."""

    def enter(self, record: Record) -> None:
        """Record this command; raise SetupFailed if something runs with other sources."""
        try:
            self.held = enter(record)
        except OSError as error:
            raise SetupFailed(f"no worker can be recorded: {error}") from None

    def start(
        self,
        place: Place,
        *,
        concurrency: int,
        keep: bool = False,
        tries: int = TRIES,
    ) -> Path:
        """Start a guarded worker for the queues of the record; return its log.

        With `keep` it outlives the command.
        """
        if self.held is None:
            raise AssertionError("a fleet that starts has entered")
        record = self.held.record
        return self.guard(
            worker_command(record.queues, name=record.name, concurrency=concurrency),
            {
                **worker_env(place.server_url, concurrency),
                SOURCES_FILE: str(sources_file(record)),
            },
            self.held,
            keep=keep,
            tries=tries,
        )

    def hold(self, record: Record) -> Held:
        """Record another process of this command, one that does no steps."""
        try:
            self._also_held.append(hold_record(record))
        except OSError as error:
            raise SetupFailed(f"no {record.who} can be recorded: {error}") from None
        return self._also_held[-1]

    def guard(
        self,
        guarded: Sequence[str],
        env: dict[str, str],
        held: Held,
        *,
        noun: str = "worker",
        keep: bool = False,
        tries: int = TRIES,
    ) -> Path:
        """Start a recorded command under a guard, as a worker is; return its log.

        `noun` is what it is called.
        """
        # Its environment has the secrets of the workers.
        hide()
        options: dict[str, Any] = {"tries": tries, "alone": keep}
        options |= {"record": str(held.record.file), "descriptor": held.fd}
        command = [sys.executable, "-I", "-S", worker_guard.__file__]
        command += [json.dumps(options), *guarded]
        if self._orphans is None:
            self._orphans = self._adopt()
        try:
            log = _log_file(held.record.name)
            member = Member(command, env, log, keep, held.fd, noun)
            member.start()
        except OSError as error:
            raise SetupFailed(f"no {noun} can be started: {error}") from None
        self.members.append(member)
        return member.log

    def _adopt(self) -> Orphans:
        """Adopt the orphans of guards from now on, but no child that the command has.

        The embedded server outlives the command that has started it. A worker whose
        guard was killed shuts down, and has its time for that unless the fleet hurries.
        """
        before = {pid: began(pid) for pid in children(os.getpid())}

        def known(pid: int) -> bool:
            if any(pid == member.guard.pid for member in self.members):
                return True
            return before.get(pid) == began(pid) or pid in server_pids(settings.VAR_DIR)

        def patience(pid: int) -> float:
            if is_called(pid, WORKER):
                return 0.0 if self.hurried else worker_guard.PATIENCE_S
            return courtesy(pid)

        return Orphans(known, patience)

    def check(self) -> None:
        """Replace the guards that have ended, and end the orphans of killed ones.

        Raises SetupFailed if a worker keeps exiting.
        """
        if self._orphans is not None:
            self._orphans.tidy()
        for member in self.members:
            code = member.guard.poll()
            if code is None:
                continue
            if time.monotonic() - member.began > HEALTHY_S:
                member.starts = 0
            if code == worker_guard.GAVE_UP or member.starts >= TRIES:
                log = member.log
                text = f"a {member.noun} keeps exiting; {log} ends:\n{tail(log)}"
                raise SetupFailed(text)
            member.start()

    def hurry(self) -> None:
        """Kill every worker at once; called from a signal handler."""
        self.hurried = True
        for member in self.members:
            if member.guard.returncode is None:
                with contextlib.suppress(OSError):
                    os.kill(member.guard.pid, signal.SIGQUIT)

    def stop(self) -> None:
        """End every worker; its guard kills it if that takes too long."""
        for member in self.members:
            if member.guard.stdin is not None:
                with contextlib.suppress(OSError):
                    member.guard.stdin.close()
            elif member.guard.poll() is None:
                member.guard.terminate()
        until = time.monotonic() + worker_guard.STOP_S
        for member in self.members:
            try:
                member.guard.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.guard.kill()
                member.guard.wait()
        self._release()
        for held in self._take_held():
            held.release()

    def leave(self) -> None:
        """Leave workers running that outlive this command."""
        for member in self.members:
            # So that Popen does not wait for them.
            member.guard.returncode = 0
        self._release()
        for held in self._take_held():
            held.pass_on()

    def _take_held(self) -> list[Held]:
        held = [*filter(None, [self.held]), *self._also_held]
        self.held = None
        self._also_held.clear()
        return held

    def _release(self) -> None:
        if self._orphans is not None:
            self._orphans.sweep(worker_guard.PATIENCE_S + 1.0, terminate=True)
            self._orphans.release()
            self._orphans = None
        self.members.clear()


def end_dead_leases(store: RedisStore, place: Place) -> bool:
    """End all leases if no worker lives, so that their steps start again at once.

    The embedded server has workers of this host alone, and one of them would have the
    lock of the steward. Return False where others may live: leases then end in time.
    """
    if not place.embedded or is_locked(steward_lock()):
        return False
    store.end_leases()
    return True


def await_steward() -> None:
    """End the steward of workers that have ended, and wait until it is gone.

    It leaves by itself after its next round, which takes long while it loads on a busy
    machine. A signal has it leave at once; if it is killed in the end, nothing is lost.
    """
    until, signalled = time.monotonic() + STEWARD_S, False
    while (pid := leaving_steward()) is not None:
        late = time.monotonic() - until
        if late > 1:
            return
        if pid and (late > 0 or not signalled):
            signalled = True
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if late > 0 else signal.SIGTERM)
        time.sleep(0.02)


def _log_file(name: str) -> Path:
    folder = Path(settings.VAR_DIR) / "log"
    folder.mkdir(mode=0o700, exist_ok=True)
    old = sorted(folder.glob("worker-*.log"), key=lambda p: p.stat().st_mtime)
    for path in old[:-LOGS_KEPT]:
        path.unlink(missing_ok=True)
    return folder / f"worker-{name}.log"
