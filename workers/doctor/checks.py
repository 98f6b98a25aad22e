"""The checks of `manage.py doctor`. Each one yields a result, whatever is broken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError

from blueprints.command_line import first_line, typed
from blueprints.conf import importable_kinds, load_kinds, lua_host, wiring_faults
from blueprints.services.installations import installation_get
from engine.agents import registered
from engine.ports import LuaFault
from engine.store.reconciling import EPOCH, OWNER
from engine.store.redis import STATE
from workers.broker.installation import foreign_redis_text, older_redis_text
from workers.broker.redis_permissions import rights_fault
from workers.broker.transport import state_url
from workers.celery_worker.open_files import files_fault
from workers.doctor import dead_letters, journal, outputs
from workers.doctor.check_result import CheckResult, fail, ok, warn
from workers.doctor.processes import child_processes
from workers.doctor.security import SECURITY
from workers.embedded_server.files import read_server_info
from workers.fleet.prerequisites import is_new_database, unapplied
from workers.fleet.unserved_queues import unserved_of
from workers.lua import SandboxHost
from workers.lua.selftest import self_test
from workers.runs.full_storage import var_fault

LEAST_MAJOR: Final = 7
PING_S: Final = 1.0
LONG_QUEUE: Final = 10_000
UNPRIVILEGED: Final = (
    "run workers on Linux and not as root: process limits do not bind root"
)


def examine() -> list[CheckResult]:
    """Return the results of all checks; without Redis, of those that need none."""
    found = [one for name, check in LOCAL.items() for one in named(name, check)]
    client = state_url().client(socket_connect_timeout=3, socket_timeout=5)
    with contextlib.closing(client):
        found += named("redis", _server, client)
        if found[-1].level == "ok":
            for name, check in CHECKS.items():
                found += named(name, check, client)
            found += named("workers", _workers)
    return found


def named(
    name: str, check: Callable[..., Iterator[CheckResult]], *args: Any
) -> Iterator[CheckResult]:
    """Yield the results of a check under its name, and a warning if an error ends it."""
    try:
        for result in check(*args):
            yield replace(result, name=result.name or name)
    except (redis.RedisError, OSError) as error:
        yield warn(f"this check could not finish: {first_line(error)}", name=name)


def _wiring() -> Iterator[CheckResult]:
    for place, reason in wiring_faults():
        hint = "correct the path in settings.py or install the extra it belongs to"
        yield fail(f"{place}: {reason}", hint)


def _agents() -> Iterator[CheckResult]:
    """Import the agent modules, as a worker does when it starts."""
    faults = load_kinds(importable_kinds())
    for fault in faults:
        hint = "fix the module or take it out of SWARM_AGENT_MODULES"
        yield fail(fault.strip().partition("\n")[0], hint)
    if not faults:
        yield ok(f"{len(registered())} Python functions")


def _var() -> Iterator[CheckResult]:
    if fault := var_fault():
        yield fail(fault, "free some space or set SWARM_VAR")
    else:
        yield ok(f"{settings.VAR_DIR} can be written")


def _files() -> Iterator[CheckResult]:
    if fault := files_fault():
        yield fail(fault, "no worker can start here before this is fixed")
    else:
        yield ok("a worker may open as many as it needs")


def _lua() -> Iterator[CheckResult]:
    try:
        with contextlib.closing(lua_host()) as host:
            version, faults = self_test(host)
            missing = host.unenforced() if isinstance(host, SandboxHost) else []
    except (LuaFault, ImportError, OSError) as error:
        text = f"no script can run in a sandbox: {first_line(error)}"
        yield fail(text, "check that lupa is installed for this machine")
        return
    text = (
        f"{version} in a sandbox: scripts can't reach the system, limits are enforced"
    )
    if faults:
        hint = "start no worker that serves swarm.lua until this is fixed"
        yield fail("; ".join(faults), hint)
    elif missing:
        text += (
            f"; this host does not enforce these process limits: {', '.join(missing)}"
        )
        yield warn(text, UNPRIVILEGED)
    else:
        yield ok(text)


def _database() -> Iterator[CheckResult]:
    try:
        missing, is_new = unapplied(), is_new_database()
    except (DatabaseError, OSError) as error:
        yield fail(f"does not answer: {first_line(error)}", "check DATABASE_URL")
        return
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    yield ok(f"{engine} answers")
    if is_new:
        hint = f"`{typed('run FILE')}` and `{typed('up')}` make them, or `{typed('migrate')}`"
        yield warn(
            "this database is new: it has no tables yet", hint, name="migrations"
        )
    elif missing:
        text = f"{len(missing)} not applied, the first is {missing[0]}"
        hint = f"run `{typed('migrate')}`; `run` and `up` apply them by themselves"
        yield fail(text, hint, name="migrations")
    else:
        yield ok("all applied", name="migrations")


def _server(client: Any) -> Iterator[CheckResult]:
    where, start = state_url(), f"`{typed('up')}`"
    embedded = not os.environ.get("SWARM_REDIS_URL", "").strip()
    if embedded and read_server_info(settings.VAR_DIR) is None:
        hint = f"`run` and {start} start it"
        yield warn("the embedded server is not running", hint)
        return
    try:
        if fault := rights_fault(client, where):
            yield fail(fault)
            return
        info = client.info("server")
    except (redis.RedisError, OSError) as error:
        hint = "start it or correct SWARM_REDIS_URL"
        if embedded:
            hint = f"{start} starts the embedded server"
        yield fail(f"{where} does not answer: {first_line(error)}", hint)
        return
    version = str(info.get("redis_version", "0"))
    if info.get("server_name") == "valkey":
        yield ok(f"Valkey {info.get('valkey_version')} at {where}")
    elif int(version.partition(".")[0]) < LEAST_MAJOR:
        hint = f"install Redis {LEAST_MAJOR} or newer, or any Valkey"
        yield fail(f"Redis {version} at {where} is too old", hint)
    else:
        yield ok(f"Redis {version} at {where}")


def _aof(client: Any) -> Iterator[CheckResult]:
    if int(client.info("persistence").get("aof_enabled", 0)):
        yield ok("on: commits survive a restart of Redis")
    else:
        text = "off: a restart of Redis loses every live run"
        yield fail(text, "set `appendonly yes`")


def _eviction(client: Any) -> Iterator[CheckResult]:
    policy = client.info("memory").get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        yield ok(policy)
    else:
        text = f"{policy}: Redis may delete live runs when memory is short"
        yield fail(text, "set `maxmemory-policy noeviction`")


def _cluster(client: Any) -> Iterator[CheckResult]:
    if int(client.info("cluster").get("cluster_enabled", 0)):
        text = "cluster mode: scripts need all keys of a run on one server"
        yield fail(text, "use a server that is no cluster node")
    else:
        yield ok("not a cluster node")


def _queues(client: Any) -> Iterator[CheckResult]:
    prefix = current_app.conf.broker_transport_options.get("global_keyprefix", "")
    known = {queue.name for queue in settings.CELERY_TASK_QUEUES}
    known |= {name.decode() for name in client.smembers(f"{STATE}queues")}
    states: list[str] = []
    waits: dict[str, int] = {}
    for name in sorted(known):
        waiting = client.llen(f"{prefix}{name}")
        dispatched = client.zcard(f"{STATE}d:{name}")
        if waiting:
            waits[name] = waiting
        if waiting or dispatched:
            states.append(f"{name} {waiting} waiting ({dispatched} dispatched)")
    text = ", ".join(states) or "all empty"
    yield from queue_findings(text, waits, unserved_of(list(waits)) or [])


def queue_findings(
    text: str, waits: Mapping[str, int], unserved: Sequence[tuple[str, str]]
) -> Iterator[CheckResult]:
    """Yield the result for queues; `unserved` has the command that serves each."""
    if unserved:
        names = ", ".join(name for name, _ in unserved)
        hint = "start " + ", ".join(f"`{command}`" for _, command in unserved)
        yield warn(f"{text}; no worker serves {names}", hint)
    elif max(waits.values(), default=0) > LONG_QUEUE:
        yield warn(text, f"start more workers: `{typed('fleet')}`")
    else:
        yield ok(text)


def _steward(client: Any) -> Iterator[CheckResult]:
    holder = client.get(f"{STATE}steward")
    if holder:
        host, _, pid = holder.decode().rpartition(":")[0].rpartition(":")
        yield ok(f"process {pid} on {host}")
    else:
        text = "none: nothing is archived and no timer fires"
        yield warn(text, f"start a worker, which starts one: `{typed('up')}`")


def _workers() -> Iterator[CheckResult]:
    try:
        stats = current_app.control.inspect(timeout=PING_S).stats() or {}
    # kombu raises what its transport raises, and wraps it in errors of its own.
    except Exception as error:
        yield warn(f"the request for their state failed: {first_line(error)}")
        return
    names = sorted(stats)
    if not names:
        hint = f"start one with `{typed('up')}` or `celery -A swarm_project worker`"
        yield warn("none answers", hint)
        return
    yield ok(f"{len(names)} answer: {', '.join(names[:5])}")
    yield from pool_findings(
        {name: stats[name].get("pool", {}).get("implementation", "") for name in names}
    )


def pool_findings(pools: Mapping[str, str]) -> Iterator[CheckResult]:
    """Yield a warning for each worker whose pool can't enforce all limits."""
    for name, pool in pools.items():
        if "prefork" in pool:
            continue
        if "solo" in pool:
            text = f"{name} is solo: no timeout ends an agent that holds the GIL"
        else:
            text = (
                f"{name} has a pool ({pool}) that can't enforce timeouts of Python"
                " functions: it refuses their steps"
            )
        yield warn(text, "start it with `--pool prefork`", name="pool")


def _installation(client: Any) -> Iterator[CheckResult]:
    found, epoch = client.get(OWNER), (client.get(EPOCH) or b"").decode()
    if not client.info("server").get("run_id"):
        text = "INFO server tells no run_id, by which a Redis that lost data is known"
        yield fail(text, "no worker can start with this server: use another one")
    try:
        row = installation_get()
    except DatabaseError:
        # The check of the database reports it.
        return
    if found is None:
        yield ok("none yet: the first command assigns it to this database")
    elif found.decode() != row.name:
        yield fail(foreign_redis_text())
    elif epoch and row.epoch and epoch != row.epoch:
        yield fail(older_redis_text())
    else:
        yield ok(f"{row.name} in Redis and database")


LOCAL: Final[dict[str, Callable[[], Iterator[CheckResult]]]] = {
    "settings": _wiring,
    "agents": _agents,
    "var": _var,
    "open files": _files,
    "database": _database,
    "outputs": outputs.findings,
    "lua": _lua,
    "child processes": child_processes,
    **SECURITY,
}
"""The checks that need no Redis."""

CHECKS: Final[dict[str, Callable[[Any], Iterator[CheckResult]]]] = {
    "aof": _aof,
    "eviction": _eviction,
    "cluster": _cluster,
    "installation": _installation,
    "queues": _queues,
    "journal": journal.findings,
    "dead letters": dead_letters.findings,
    "steward": _steward,
}
"""The checks that get a client of Redis."""
