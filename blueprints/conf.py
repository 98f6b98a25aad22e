"""The only reader of settings.SWARM: turns its dotted paths into objects."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from engine.ports import LuaHost


def spawner_kinds() -> tuple[str, ...]:
    """Returns the agent kinds that have a spawner here, sorted."""
    return tuple(sorted(settings.SWARM["SPAWNERS"]))


def spawner_class(kind: str) -> Any:
    """Returns the class of a kind's spawner; raises LookupError for one without."""
    try:
        path = settings.SWARM["SPAWNERS"][kind]
    except KeyError:
        known = ", ".join(spawner_kinds()) or "none"
        raise LookupError(f"no spawner for kind {kind!r}; known: {known}") from None
    return resolve(path)


def lua_functions() -> dict[str, Any]:
    """Returns the host functions of Lua scripts by name; raises ImportError."""
    wired = settings.SWARM.get("LUA_FUNCTIONS", {})
    return {name: resolve(path) for name, path in wired.items()}


@cache
def lua_host() -> LuaHost:
    """Returns the LuaHost of this process; it starts nothing before its first script."""
    host: LuaHost = resolve(settings.SWARM["LUA_HOST"])()
    return host


@cache
def resolve(path: str) -> Any:
    """Returns what a dotted path names; raises ImportError."""
    return import_string(path)


def wiring_faults() -> Iterator[tuple[str, str]]:
    """Yields the place in settings.SWARM and the reason of each path that fails."""
    for place, path in _paths("SWARM", settings.SWARM):
        if not isinstance(path, str):
            yield place, f"expected a dotted path, got {path!r}"
            continue
        try:
            resolve(path)
        # Importing runs any code at all, so anything may come out of it.
        except Exception as error:
            yield place, f"{path} can't be imported: {error}"


def _paths(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield place, value
        return
    for key, part in value.items():
        yield from _paths(f"{place}[{key!r}]", part)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "SWARM":
        resolve.cache_clear()
        if lua_host.cache_info().currsize:
            lua_host().close()
            lua_host.cache_clear()


setting_changed.connect(_forget, dispatch_uid="blueprints.conf")
