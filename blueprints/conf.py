"""Import the objects that settings.SWARM names; no other module reads it."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from blueprints.spawner import KindSpawner
from blueprints.stores.outputs import InstalledOutputs
from engine.blueprint_store import BlueprintStore
from engine.ports import LuaHost


def spawner_kinds() -> tuple[str, ...]:
    """Return the agent kinds that have a spawner here, sorted."""
    return tuple(sorted(settings.SWARM["SPAWNERS"]))


def spawner_class(kind: str) -> type[KindSpawner]:
    """Return the spawner class of a kind; raise LookupError if it has none."""
    try:
        path = settings.SWARM["SPAWNERS"][kind]
    except KeyError:
        known = ", ".join(spawner_kinds()) or "none"
        raise LookupError(f"no spawner for kind {kind!r}; known: {known}") from None
    found: type[KindSpawner] = resolve(path)
    return found


def importable_kinds() -> list[str]:
    """Return the kinds whose spawner can be imported; `wiring_faults` has the others."""
    faulty = {place for place, _ in wiring_faults()}
    return [
        kind for kind in spawner_kinds() if f"SWARM['SPAWNERS'][{kind!r}]" not in faulty
    ]


def load_kinds(kinds: Iterable[str]) -> list[str]:
    """Load the agent code of kinds; return a text for each part that fails."""
    return [fault for kind in kinds for fault in spawner_class(kind).prepare()]


def lua_functions() -> dict[str, Any]:
    """Return the host functions of Lua scripts by name; raise ImportError."""
    wired = settings.SWARM.get("LUA_FUNCTIONS", {})
    return {name: resolve(path) for name, path in wired.items()}


@cache
def lua_host() -> LuaHost:
    """Return the LuaHost of this process; its first script starts the sandbox."""
    host: LuaHost = resolve(settings.SWARM["LUA_HOST"])()
    return host


@cache
def blueprint_store() -> BlueprintStore:
    """Return what Blueprints are kept in."""
    store: BlueprintStore = resolve(settings.SWARM["BLUEPRINT_STORE"])()
    return store


@cache
def output_store() -> InstalledOutputs:
    """Return what large values are kept in; it connects to nothing yet."""
    stores = settings.SWARM["OUTPUT_STORES"]
    store: InstalledOutputs = resolve(stores[_output_store_name()])()
    return store


def _output_store_name() -> str:
    place = str(settings.SWARM_OUTPUTS)
    return "files" if place.startswith("/") else place.partition("://")[0]


resolve = cache(import_string)
"""Imports the object that a dotted path names, once; raises ImportError."""


_STORES: Final = "SWARM['OUTPUT_STORES']"


def wiring_faults() -> Iterator[tuple[str, str]]:
    """Yield place and reason of each path of settings.SWARM that can't be imported."""
    for place, path in _paths("SWARM", settings.SWARM):
        if (
            place.startswith(_STORES)
            and place != f"{_STORES}[{_output_store_name()!r}]"
        ):
            # The extra of a store that is not chosen may be absent.
            continue
        if not isinstance(path, str):
            yield place, f"expected a dotted path, got {path!r}"
            continue
        try:
            resolve(path)
        # An import runs arbitrary code, which may raise anything.
        except Exception as error:
            yield place, f"{path} can't be imported: {error}"


def _paths(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield place, value
        return
    for key, part in value.items():
        yield from _paths(f"{place}[{key!r}]", part)


def _clear_caches(*, setting: str, **_: Any) -> None:
    if setting in {"SWARM", "SWARM_BLUEPRINTS"}:
        blueprint_store.cache_clear()
    if setting in {"SWARM", "SWARM_OUTPUTS", "VAR_DIR"}:
        output_store.cache_clear()
    if setting == "SWARM":
        resolve.cache_clear()
        if lua_host.cache_info().currsize:
            lua_host().close()
            lua_host.cache_clear()


setting_changed.connect(_clear_caches, dispatch_uid="blueprints.conf")
