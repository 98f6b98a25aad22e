"""What `manage.py doctor` looks at. Every check answers, whatever is broken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError

from blueprints.agents import broken_modules, function_faults, registered
from blueprints.command_line import typed
from blueprints.conf import lua_host, wiring_faults
from blueprints.services.installations import installation_name
from engine.ports import LuaFault
from engine.store.redis import STATE
from workers import doctor_dead_letters
from workers.doctor_processes import child_processes
from workers.doctor_security import security
from workers.findings import Finding
from workers.fleets import unapplied
from workers.installation import KEY, foreign_text
from workers.lua import SandboxHost
from workers.lua.selftest import self_test
from workers.open_files import files_fault
from workers.rights import rights_fault
from workers.room import var_fault
from workers.server import read_server_info
from workers.transport import state_address
from workers.unserved import unserved_of

LEAST_MAJOR: Final = 7
PING_S: Final = 1.0
DEEP: Final = 10_000
UNPRIVILEGED: Final = "run workers on Linux, and not as root: no process limit binds it"


def examine() -> list[Finding]:
    """Return what every check found."""
    found = [
        *_wiring(),
        *_agents(),
        _var(),
        _files(),
        *_database(),
        _lua(),
        *child_processes(),
        *security(),
    ]
    client = state_address().client(socket_connect_timeout=3, socket_timeout=5)
    with contextlib.closing(client):
        reached = _server(client)
        found.append(reached)
        if reached.level == "fail":
            return found
        for name, check in CHECKS.items():
            try:
                found += check(client)
            except (redis.RedisError, OSError) as error:
                found.append(
                    Finding(name, "warn", f"can't be read: {_first_line(error)}")
                )
    found += _workers()
    return found


def _wiring() -> Iterator[Finding]:
    for place, reason in wiring_faults():
        hint = "correct the path in settings.py or install the extra it belongs to"
        yield Finding("settings", "fail", f"{place}: {reason}", hint)


def _agents() -> Iterator[Finding]:
    """Import the agent modules as a worker does at its start."""
    faults = list(broken_modules(settings.SWARM_AGENT_MODULES).values())
    faults += [f"{name}: {fault}" for name, fault in function_faults().items()]
    for fault in faults:
        hint = "mend the module or take it out of SWARM_AGENT_MODULES"
        yield Finding("agents", "fail", _first_line(fault), hint)
    if not faults:
        count = len(registered())
        yield Finding("agents", "ok", f"{count} Python functions")


def _var() -> Finding:
    if fault := var_fault():
        return Finding("var", "fail", fault, "free some space or set SWARM_VAR")
    return Finding("var", "ok", f"{settings.VAR_DIR} can be written")


def _files() -> Finding:
    if fault := files_fault():
        return Finding("open files", "fail", fault, "no worker starts here as it is")
    return Finding("open files", "ok", "a worker may open as many as it needs")


def _lua() -> Finding:
    hint = "start no worker that serves swarm.lua until this is mended"
    try:
        with contextlib.closing(lua_host()) as host:
            version, faults = self_test(host)
            missing = host.unenforced() if isinstance(host, SandboxHost) else []
    except (LuaFault, ImportError, OSError) as error:
        text = f"no script runs in a sandbox: {_first_line(error)}"
        return Finding("lua", "fail", text, "is lupa installed for this machine?")
    if faults:
        return Finding("lua", "fail", "; ".join(faults), hint)
    text = f"{version} in a sandbox: nothing of the system in reach, limits hold"
    if missing:
        text += (
            f"; of the net below, limits on its processes, these are not enforced on"
            f" this host: {', '.join(missing)}"
        )
        return Finding("lua", "warn", text, UNPRIVILEGED)
    return Finding("lua", "ok", text)


def _database() -> Iterator[Finding]:
    try:
        missing = unapplied()
    except (DatabaseError, OSError) as error:
        text = f"does not answer: {_first_line(error)}"
        yield Finding("database", "fail", text, "check DATABASE_URL")
        return
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    yield Finding("database", "ok", f"{engine} answers")
    if missing:
        text = f"{len(missing)} not applied, the first is {missing[0]}"
        hint = f"run `{typed('migrate')}`; `run` and `up` do it by themselves"
        yield Finding("migrations", "fail", text, hint)
    else:
        yield Finding("migrations", "ok", "all applied")


def _server(client: Any) -> Finding:
    where = state_address()
    embedded = not os.environ.get("SWARM_REDIS_URL", "").strip()
    if embedded and read_server_info(settings.VAR_DIR) is None:
        text = "the embedded server is not running"
        hint = f"`{typed('up')}` (or `run`) starts it; or set SWARM_REDIS_URL"
        return Finding("redis", "fail", text, hint)
    try:
        if fault := rights_fault(client, where):
            return Finding("redis", "fail", fault)
        info = client.info("server")
    except (redis.RedisError, OSError) as error:
        text = f"{where} does not answer: {_first_line(error)}"
        hint = f"`{typed('up')}` starts the embedded server"
        if not embedded:
            hint = "start it or correct SWARM_REDIS_URL"
        return Finding("redis", "fail", text, hint)
    if info.get("server_name") == "valkey":
        return Finding("redis", "ok", f"Valkey {info.get('valkey_version')} at {where}")
    version = str(info.get("redis_version", "0"))
    text = f"Redis {version} at {where}"
    if int(version.partition(".")[0]) < LEAST_MAJOR:
        hint = f"install Redis {LEAST_MAJOR} or newer, or any Valkey"
        return Finding("redis", "fail", f"{text} is too old", hint)
    return Finding("redis", "ok", text)


def _aof(client: Any) -> Iterator[Finding]:
    if int(client.info("persistence").get("aof_enabled", 0)):
        yield Finding("aof", "ok", "on: what is committed survives a restart")
    else:
        text = "off: a restart of Redis loses every live run"
        yield Finding("aof", "fail", text, "set `appendonly yes`")


def _eviction(client: Any) -> Iterator[Finding]:
    policy = client.info("memory").get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        yield Finding("eviction", "ok", "noeviction")
    else:
        text = f"{policy}: Redis may throw live runs away when memory is short"
        yield Finding("eviction", "fail", text, "set `maxmemory-policy noeviction`")


def _cluster(client: Any) -> Iterator[Finding]:
    if int(client.info("cluster").get("cluster_enabled", 0)):
        text = "cluster mode: scripts need all keys of a run on one server"
        yield Finding("cluster", "fail", text, "use a server that is no cluster node")
    else:
        yield Finding("cluster", "ok", "not a cluster node")


def _queues(client: Any) -> Iterator[Finding]:
    prefix = current_app.conf.broker_transport_options.get("global_keyprefix", "")
    known = {queue.name for queue in settings.CELERY_TASK_QUEUES}
    known |= {name.decode() for name in client.smembers(f"{STATE}queues")}
    told: list[str] = []
    waits: dict[str, int] = {}
    for name in sorted(known):
        waiting = client.llen(f"{prefix}{name}")
        dispatched = client.zcard(f"{STATE}d:{name}")
        if waiting:
            waits[name] = waiting
        if waiting or dispatched:
            told.append(f"{name} {waiting} waiting ({dispatched} dispatched)")
    text = ", ".join(told) or "all empty"
    yield from queue_findings(text, waits, unserved_of(list(waits)))


def queue_findings(
    text: str, waits: Mapping[str, int], unserved: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    """Yield what is to be said of queues; `unserved` has the command for each."""
    if unserved:
        names = ", ".join(name for name, _ in unserved)
        hint = "start " + ", ".join(f"`{command}`" for _, command in unserved)
        yield Finding("queues", "warn", f"{text}; no worker serves {names}", hint)
    elif max(waits.values(), default=0) > DEEP:
        yield Finding("queues", "warn", text, "start more workers: `manage.py fleet`")
    else:
        yield Finding("queues", "ok", text)


def _journal(client: Any) -> Iterator[Finding]:
    size = int(client.memory_usage(f"{STATE}j") or 0)
    limit = settings.SWARM_JOURNAL_LIMIT
    text = f"{size} of {limit} bytes"
    if size > limit:
        hint = "launches are refused: is a worker up, and does the database answer?"
        yield Finding("journal", "fail", text, hint)
    elif size > limit // 2:
        yield Finding("journal", "warn", text, "archiving falls behind")
    else:
        yield Finding("journal", "ok", text)


def _steward(client: Any) -> Iterator[Finding]:
    holder = client.get(f"{STATE}steward")
    if holder:
        host, _, pid = holder.decode().rpartition(":")[0].rpartition(":")
        yield Finding("steward", "ok", f"process {pid} on {host}")
    else:
        text = "none: nothing is archived and no timer fires"
        yield Finding("steward", "warn", text, "any worker brings one: `manage.py up`")


def _workers() -> Iterator[Finding]:
    try:
        stats = current_app.control.inspect(timeout=PING_S).stats() or {}
    # kombu raises what its transport raises, and wraps it in errors of its own.
    except Exception as error:
        yield Finding("workers", "warn", f"can't be asked: {_first_line(error)}")
        return
    names = sorted(stats)
    if not names:
        hint = "`manage.py up` or `celery -A swarm_project worker` starts one"
        yield Finding("workers", "warn", "none answers", hint)
        return
    yield Finding("workers", "ok", f"{len(names)} answer: {', '.join(names[:5])}")
    yield from pool_findings(
        {name: stats[name].get("pool", {}).get("implementation", "") for name in names}
    )


def pool_findings(pools: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each worker, by name, whose pool can't hold all limits."""
    for name, pool in pools.items():
        hint = "start it with `--pool prefork`"
        if "prefork" in pool:
            continue
        if "solo" in pool:
            text = f"{name} is solo: an agent that holds the GIL ends at no timeout"
        else:
            text = (
                f"{name} has a pool ({pool}) in which no timeout of a Python function"
                " can be enforced: it refuses their steps"
            )
        yield Finding("pool", "warn", text, hint)


def _installation(client: Any) -> Iterator[Finding]:
    found = client.get(KEY)
    try:
        name = installation_name()
    except DatabaseError:
        # Told as a finding of its own.
        return
    if found is None:
        yield Finding("installation", "ok", "none yet: this database takes it")
    elif found.decode() == name:
        yield Finding("installation", "ok", f"{name} in Redis and database")
    else:
        yield Finding("installation", "fail", foreign_text())


CHECKS: Final[dict[str, Callable[[Any], Iterator[Finding]]]] = {
    "aof": _aof,
    "eviction": _eviction,
    "cluster": _cluster,
    "installation": _installation,
    "queues": _queues,
    "journal": _journal,
    "dead letters": doctor_dead_letters.findings,
    "steward": _steward,
}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
