"""Starting what a command needs: database, server, worker processes, and their end.

A worker stands under a guard of its own (fleets_child.py), which restarts it and which
ends it when the command is gone, also after `kill -9`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from blueprints.command_line import typed
from blueprints.conf import spawner_kinds
from engine.blueprint import Program
from engine.blueprint.program import QUEUE_SUFFIX
from engine.store.address import Address, RedisUnwritable, away
from engine.store.base import ENGINE_QUEUE
from engine.visible import visible
from workers import fleets_child
from workers.fleet_orphans import left_by
from workers.orphans import Orphans
from workers.process.privacy import hide, may_hide
from workers.rights import rights_fault
from workers.server import (
    ServerInfo,
    ServerUnavailable,
    acquire,
    ensure_server,
    release_server,
)
from workers.steward_host import leaving_steward
from workers.transport import state_address

TRIES = 3
"""Short lives of a worker in a row after which a command gives up."""
HEALTHY_S = 60.0
"""A guard that lived so long was well: earlier ends count no more."""
LOGS_KEPT = 20
WATCH_S = 1.0
"""How long a command that follows a run waits for a server that is just restarting."""
STEWARD_S = 10.0
"""After what time a steward is killed that was told to leave: its last archiving."""
THREADED = frozenset({"operator"})


class SetupFailed(Exception):
    """Something a command needs is not there; the text says what and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which Redis it is; `embedded` when it is the server of this installation."""

    address: Address
    embedded: bool


# Redis and database


def reach(address: Address) -> None:
    """Ask a Redis for all that is needed; SetupFailed with one line when it refuses."""
    try:
        client = address.client(socket_connect_timeout=3, socket_timeout=3)
        with contextlib.closing(client):
            fault = rights_fault(client, address)
            if not fault:
                client.ping()
    except (redis.RedisError, OSError) as error:
        outage = away(error) if isinstance(error, redis.ResponseError) else None
        if isinstance(outage, RedisUnwritable):
            raise SetupFailed(str(outage)) from None
        reason = str(error).partition("\n")[0]
        raise SetupFailed(
            f"Redis at {address} does not answer ({reason}): start it, correct"
            " SWARM_REDIS_URL, or unset it to use the embedded server"
        ) from None
    if fault:
        raise SetupFailed(fault)


@contextlib.contextmanager
def redis_place(*, keep: bool = False) -> Iterator[Place]:
    """Hold the configured Redis, or the embedded server started or adopted for it."""
    if os.environ.get("SWARM_REDIS_URL", "").strip():
        reach(state_address())
        yield Place(state_address(), embedded=False)
        return
    try:
        acquire(settings.VAR_DIR)
    except OSError as error:
        raise SetupFailed(no_embedded(error)) from None
    try:
        try:
            info = ensure_server(settings.VAR_DIR, keep=keep)
        except (ServerUnavailable, OSError) as error:
            raise SetupFailed(no_embedded(error)) from None
        point_at(info)
        reach(state_address())
        yield Place(state_address(), embedded=True)
    finally:
        try:
            release_server(settings.VAR_DIR, keep)
        except OSError as error:
            # What the command was for has come to its end all the same.
            sys.stderr.write(visible(f"the embedded server was not stopped: {error}\n"))


def no_embedded(error: Exception) -> str:
    """Return why the embedded server can't be used and what to do."""
    return (
        f"the embedded server can't be started: {error}\nLook at"
        f" {settings.VAR_DIR}/redis/server.log, or set SWARM_REDIS_URL"
    )


def point_at(info: ServerInfo) -> None:
    """Make this process use a server that was not there when settings were read."""
    settings.SWARM_STATE_URL = Address.of(info.url)


def watch_server(place: Place) -> None:
    """Replace a dead supervisor of the embedded server; quick, whatever it finds."""
    if place.embedded:
        with contextlib.suppress(ServerUnavailable, OSError):
            ensure_server(settings.VAR_DIR, timeout=WATCH_S)


def unapplied() -> list[str]:
    """Return the migrations that this database has not seen."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def migrate() -> None:
    """Bring the database up to date without a word; SetupFailed when it can't be."""
    try:
        if not unapplied():
            return
        # Two first commands at once would both create the tables.
        with open(Path(settings.VAR_DIR) / "migrate.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            call_command("migrate", verbosity=0, interactive=False)
    except (DatabaseError, OSError, ImproperlyConfigured) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SetupFailed(
            f"the database can't be used ({reason}): check DATABASE_URL, or unset it"
            f" to use SQLite below {settings.VAR_DIR}"
        ) from None


def database_ready() -> None:
    """SetupFailed when the tables are not there or not up to date."""
    try:
        missing = unapplied()
    except DatabaseError as error:
        reason = str(error).strip().partition("\n")[0]
        raise SetupFailed(
            f"the database can't be used ({reason}): check DATABASE_URL"
        ) from None
    if missing:
        raise SetupFailed(
            f"{len(missing)} migrations are not applied: run `{typed('migrate')}`"
        )


# Queues and worker processes


def queues_of(program: Program) -> list[str]:
    """Return the queues a run of this program needs."""
    return sorted({ENGINE_QUEUE, *(a.queue for a in program.agents.values())})


def queues_of_kinds(kinds: Iterable[str]) -> list[str]:
    """Return the queues of agent kinds, urgent ones first, and the engine's."""
    own = [
        f"swarm.{kind}{suffix}" for suffix in QUEUE_SUFFIX.values() for kind in kinds
    ]
    return [*own, ENGINE_QUEUE]


def all_queues() -> list[str]:
    """Return every queue an installation has by itself."""
    return queues_of_kinds(spawner_kinds())


def pool_of(kinds: Sequence[str], asked: str | None = None) -> str:
    """Return the pool that suits kinds, or the one asked for: threads only wait.

    Raises SetupFailed for one in which a kind's timeouts can't be enforced.
    """
    if asked == "threads" and "python_fn" in kinds:
        raise SetupFailed(
            "in a threads pool nothing can end a Python function at its timeout: leave"
            " --pool out or choose prefork"
        )
    if asked is not None:
        return asked
    waiting = THREADED.intersection(kinds)
    if not waiting:
        return "prefork"
    if len(waiting) == len(set(kinds)):
        return "threads"
    raise SetupFailed(
        f"{', '.join(sorted(waiting))} wants a threads pool, the other kinds prefork:"
        " start one fleet each, or choose with --pool"
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


def worker_env(address: Address, concurrency: int) -> dict[str, str]:
    """Return the environment of a worker that serves the Redis at `address`."""
    paths = [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]
    return {
        "SWARM_CONSUMERS": str(concurrency),
        **os.environ,
        "SWARM_REDIS_URL": address.url,
        "SWARM_VAR": str(settings.VAR_DIR),
        # Workers stand in the caller's directory, so relative paths mean the same.
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "DJANGO_SETTINGS_MODULE": os.environ.get(
            "DJANGO_SETTINGS_MODULE", "swarm_project.settings"
        ),
    }


@dataclass
class Member:
    """One guarded worker and how to start its guard again."""

    command: list[str]
    env: dict[str, str]
    log: Path
    keep: bool
    guard: subprocess.Popen[bytes]
    starts: int = 1
    """How often its guard was started in a row, without a healthy time between."""
    began: float = field(default_factory=time.monotonic)


def spawn_guard(
    command: list[str], env: dict[str, str], log: Path, keep: bool
) -> subprocess.Popen[bytes]:
    """Start a guard; without `keep` the end of its pipe is the end of its worker."""
    with open(log, "ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.DEVNULL if keep else subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=env,
            # Ctrl-C in a terminal is for the command, which then ends the worker.
            start_new_session=True,
        )


@dataclass
class Fleet:
    """Workers started by this command, each under its guard."""

    members: list[Member] = field(default_factory=list)
    hurried: bool = False
    _left: Orphans | None = None
    """What killed guards leave."""

    def start(
        self,
        place: Place,
        queues: Sequence[str],
        *,
        name: str,
        concurrency: int,
        keep: bool = False,
        tries: int = TRIES,
        recorded: bool = False,
    ) -> Path:
        """Start a guarded worker, with `keep` one that outlives this command.

        Returns its log.
        """
        # This command has the secrets in its environment that its workers get.
        hide()
        command = [sys.executable, "-P", fleets_child.__file__, "--tries", str(tries)]
        command.append("--ready")
        if may_hide():
            command.append("--hide")
        if keep:
            command.append("--alone")
        if keep or recorded:
            text = json.dumps({"pid": "PID", "name": name, "queues": list(queues)})
            command += ["--record", str(_records() / f"{name}.json"), "--text", text]
        command.append("--")
        command += worker_command(queues, name=name, concurrency=concurrency)
        env = worker_env(place.address, concurrency)
        if self._left is None:
            self._left = left_by(self._guards, lambda: self.hurried)
        try:
            log = _log_file(name)
            guard = spawn_guard(command, env, log, keep)
        except OSError as error:
            raise SetupFailed(f"no worker can be started: {error}") from None
        self.members.append(Member(command, env, log, keep, guard))
        return log

    def check(self) -> None:
        """End what killed guards left, and put others in their place.

        SetupFailed if no worker can be kept up.
        """
        if self._left is not None:
            self._left.tidy()
        self._replace()

    def _replace(self) -> None:
        """Replace a guard that was killed; SetupFailed if no worker can be kept up."""
        for member in self.members:
            code = member.guard.poll()
            if code is None:
                continue
            now = time.monotonic()
            if now - member.began > HEALTHY_S:
                member.starts = 0
            if code == fleets_child.GAVE_UP or member.starts >= TRIES:
                log = member.log
                raise SetupFailed(f"a worker keeps exiting; {log} ends:\n{tail(log)}")
            member.starts += 1
            member.began = now
            member.guard = spawn_guard(
                member.command, member.env, member.log, member.keep
            )

    def hurry(self) -> None:
        """Kill every worker at once; called from a signal handler."""
        self.hurried = True
        for member in self.members:
            if member.guard.returncode is None:
                with contextlib.suppress(OSError):
                    os.kill(member.guard.pid, signal.SIGQUIT)

    def stop(self) -> None:
        """End every worker: asked first, killed by its guard if that takes too long."""
        for member in self.members:
            if member.guard.stdin is not None:
                with contextlib.suppress(OSError):
                    member.guard.stdin.close()
            elif member.guard.poll() is None:
                member.guard.terminate()
        until = time.monotonic() + fleets_child.STOP_S
        for member in self.members:
            try:
                member.guard.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.guard.kill()
                member.guard.wait()
        self._let_go()

    def leave(self) -> None:
        """Let go of workers that stay."""
        for member in self.members:
            # They are not ours to wait for any more.
            member.guard.returncode = 0
        self._let_go()

    def _guards(self) -> list[int]:
        return [member.guard.pid for member in self.members]

    def _let_go(self) -> None:
        if self._left is not None:
            self._left.sweep(fleets_child.PATIENCE_S + 1.0, finally_=True)
            self._left.release()
            self._left = None
        self.members.clear()


# Fleets that outlive their command


@dataclass(frozen=True, slots=True)
class Kept:
    """A guard that runs on, as its record says."""

    pid: int
    name: str
    queues: tuple[str, ...]


def kept_fleets() -> list[Kept]:
    """Return the recorded fleets that live: their guards hold their records' locks."""
    found: list[Kept] = []
    for path in sorted(_records().glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError), open(path) as record:
            try:
                fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = json.load(record)
                found.append(
                    Kept(int(said["pid"]), str(said["name"]), tuple(said["queues"]))
                )
            else:
                path.unlink()
    return found


def served() -> frozenset[str]:
    """Return the queues that recorded fleets serve."""
    return frozenset(queue for kept in kept_fleets() for queue in kept.queues)


def stop_kept() -> int:
    """End the recorded fleets of this installation; how many there were."""
    kept = kept_fleets()
    for fleet in kept:
        with contextlib.suppress(OSError):
            os.kill(fleet.pid, signal.SIGTERM)
    until = time.monotonic() + fleets_child.STOP_S
    while kept_fleets() and time.monotonic() < until:
        time.sleep(0.05)
    return len(kept)


def await_steward() -> None:
    """End the steward of workers that have ended, and wait until it is gone.

    It goes by itself once it looks up, but one that is just loading on a busy machine
    takes its time. Told by a signal it goes at once; killed in the end it loses nothing.
    """
    until, told = time.monotonic() + STEWARD_S, False
    while (pid := leaving_steward()) is not None:
        late = time.monotonic() - until
        if late > 1:
            return
        if pid and (late > 0 or not told):
            told = True
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if late > 0 else signal.SIGTERM)
        time.sleep(0.02)


def tail(path: Path, size: int = 2000) -> str:
    """Return the end of a log."""
    try:
        return path.read_bytes()[-size:].decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _records() -> Path:
    folder = Path(settings.VAR_DIR) / "fleets"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _log_file(name: str) -> Path:
    folder = Path(settings.VAR_DIR) / "log"
    folder.mkdir(mode=0o700, exist_ok=True)
    old = sorted(folder.glob("worker-*.log"), key=lambda p: p.stat().st_mtime)
    for path in old[:-LOGS_KEPT]:
        path.unlink(missing_ok=True)
    return folder / f"worker-{name}.log"
