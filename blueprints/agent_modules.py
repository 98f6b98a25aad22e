"""Import the modules of agent functions: those of SWARM_AGENT_MODULES and the project's.

The project's are the modules in its folder: `agents`, which is always searched, and those
that an agent's `fn` names. They are loaded from that folder and from nowhere else.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any, Final

from django.conf import settings

from engine.agents import (
    LIBRARIES,
    AgentFunction,
    code_place,
    find_function,
    registering,
)
from engine.flow.spelling import near

OWN: Final = "agents"
"""The module of the project that is always searched."""
SWARM: Final = frozenset({"blueprints", "engine", "swarm_project", "workers"})
"""Our own packages, which belong to no project, also where it is our checkout."""

LISTED: Final = 5
"""The most functions of a module that an error lists."""

_added: list[str] = []
_loaded: set[str] = set()
_found: dict[str, AgentFunction] = {}


class FunctionRefused(Exception):
    """An agent's function can't be used: what is wrong, and what to do.

    `module` names the modules at fault, if the function's name is not.
    """

    def __init__(self, text: str, hint: str = "", *, module: str = "") -> None:
        """Keep all three; the error's own text is both sentences."""
        super().__init__("; ".join(filter(None, (text, hint))))
        self.text, self.hint, self.module = text, hint, module


def module_folders() -> list[str]:
    """Return the folders whose modules functions may be in, the project's first.

    The others are those of Python files that build a Blueprint outside of the project.
    """
    return [str(settings.SWARM_PROJECT_DIR), *added_folders()]


def added_folders() -> list[str]:
    """Return the folders besides the project's, for the workers to start."""
    return list(dict.fromkeys((*settings.SWARM_FN_DIRS, *_added)))


def add_folders(folders: Iterable[str]) -> None:
    """Let functions be in the modules of more folders, in this process."""
    _added.extend(one for one in folders if one not in module_folders())


def broken_modules() -> dict[str, str]:
    """Import the agent modules, each once; return the failures by module.

    All functions of a module that fails are unregistered; the others are still loaded.
    """
    faults = {}
    own = PathFinder.find_spec(OWN, [str(settings.SWARM_PROJECT_DIR)])
    has_own = own is not None and own.origin is not None
    for module in (*settings.SWARM_AGENT_MODULES, *([OWN] if has_own else [])):
        if module in _loaded:
            continue
        try:
            load_module(module)
        except FunctionRefused as error:
            faults[module] = str(error)
            continue
        _loaded.add(module)
    return faults


def function_at(path: str) -> AgentFunction:
    """Return the function that `module:name` names; raise FunctionRefused.

    Only public functions are returned, and only those that their module defines itself:
    otherwise a Blueprint could call whatever a module imports.
    """
    if path in _found:
        return _found[path]
    name, _, wanted = path.partition(":")
    if settings.SWARM_FN_MODULES == "listed" and not _is_listed(name):
        raise FunctionRefused(
            f"SWARM_AGENT_MODULES does not list the module {name!r}, and SWARM_FN_MODULES"
            " allows no others",
            "list it, or correct the name",
            module=name,
        )
    module = load_module(name)
    public = [
        one for one, value in vars(module).items() if _is_public(value, name, one)
    ]
    file = _file(module.__spec__)
    if wanted not in public:
        hint = _other_functions(name, wanted, public)
        if wanted in vars(module):
            hint = "it may be imported, private or a class: write a function around it"
        text = f"the module {name!r} ({file}) defines no public function {wanted!r}"
        raise FunctionRefused(text, hint)
    value = vars(module)[wanted]
    known = find_function(path)
    if known is not None and known.function is value:
        return _found.setdefault(path, known)
    line = getattr(getattr(value, "__code__", None), "co_firstlineno", 1)
    place = f"{path} at {code_place(file, line)}"
    return _found.setdefault(path, AgentFunction(value, name, place))


def _other_functions(module: str, wanted: str, public: list[str]) -> str:
    """Return a hint: the function with a near name, or else those that there are."""
    if found := near(wanted, public):
        return f"did you mean {module}:{found}?"
    if not public:
        return "it defines none"
    listed = ", ".join(f"{module}:{one}" for one in sorted(public)[:LISTED])
    more = len(public) - LISTED
    return f"it defines {listed}" + (f" and {more} more" if more > 0 else "")


def _is_public(value: Any, module: str, name: str) -> bool:
    """Return whether a module defines a function itself, for others to call."""
    own = getattr(value, "__module__", None) == module and not name.startswith("_")
    return own and callable(value) and not inspect.isclass(value)


def load_module(name: str) -> ModuleType:
    """Import a module of the project, or one that is listed; raise FunctionRefused."""
    top = name.partition(".")[0]
    own, listed = _own_spec(top), _is_listed(name)
    if own is None and not listed:
        raise _no_module(name, listed=False)
    # Behind all others, so that they hide no installed module.
    sys.path.extend(one for one in added_folders() if one not in sys.path)
    try:
        with registering():
            if own is not None:
                _load_own(top, own)
            return importlib.import_module(name)
    except FunctionRefused:
        raise
    # An import runs arbitrary code, which may raise anything; a module that calls
    # sys.exit must not end the worker.
    except (Exception, SystemExit) as error:
        # What is missing may be something that the module itself imports.
        missing = getattr(error, "name", None) or ""
        absent = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(
            f"{missing}."
        )
        if absent and missing:
            raise _no_module(name, listed=listed) from None
        where = "SWARM_AGENT_MODULES" if listed else str(_file(own))
        raise FunctionRefused(
            f"the agent module {name!r} ({where}) can't be imported:"
            f" {type(error).__name__}: {error}",
            module=name,
        ) from error


def require_one(name: str) -> None:
    """Raise FunctionRefused if two folders have the module, or the package it is in."""
    _own_spec(name.partition(".")[0])


def _own_spec(top: str) -> ModuleSpec | None:
    """Return how to load a module from the project's folder, None if it has none.

    The same for folders that were added; raises FunctionRefused if two have one. A folder
    without an `__init__.py` is no module: agents may write to it.
    """
    if top in SWARM:
        return None
    specs = (PathFinder.find_spec(top, [one]) for one in module_folders())
    found = {
        _file(one): one for one in specs if one is not None and one.origin is not None
    }
    if len(found) > 1:
        raise FunctionRefused(
            f"{' and '.join(found)} are both the module {top!r}",
            "rename one of them",
            module=top,
        )
    return next(iter(found.values()), None)


def _is_listed(name: str) -> bool:
    """Return whether a module, or a package that it is in, is listed."""
    listed = settings.SWARM_AGENT_MODULES
    return any(name == one or name.startswith(f"{one}.") for one in listed)


def _load_own(top: str, spec: ModuleSpec) -> None:
    """Load a module of the project's folder; raise FunctionRefused.

    Python's own search could find another one of that name first.
    """
    other = sys.modules.get(top)
    if other is not None:
        if _file(other.__spec__) != _file(spec):
            raise FunctionRefused(
                f"the project's module {top!r} is {_file(spec)}, and"
                f" {_file(other.__spec__)} is imported under that name already",
                "give the project's another name",
                module=top,
            )
        return
    module = module_from_spec(spec)
    sys.modules[top] = module
    try:
        if spec.loader is not None:
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[top]
        raise
    logger = logging.getLogger(top)
    # What our loggers write, the project's write as well.
    logger.setLevel(logger.level or logging.getLogger("workers").level)


def _file(spec: ModuleSpec | None) -> str:
    """Return the file of a module, or the folder of a package without a file."""
    if spec is None:
        return "a module without a file"
    if spec.origin is None:
        folders: Iterable[str] = spec.submodule_search_locations or ()
        return os.path.realpath(next(iter(folders), ""))
    return os.path.realpath(spec.origin) if spec.has_location else f"{spec.origin}"


def _no_module(name: str, *, listed: bool) -> FunctionRefused:
    """Return the error for a module that is in none of the places where it may be."""
    folder, file = settings.SWARM_PROJECT_DIR, f"{name.replace('.', os.sep)}.py"
    hint = f"save it as {os.path.join(folder, file)}, or correct the name"
    package = os.path.join(folder, name.partition(".")[0])
    if "." in name and os.path.isdir(package):
        hint = f"add an __init__.py to {package}, if it is a package of yours"
    if listed:
        places = ", ".join(dict.fromkeys([str(folder), *_other_folders()]))
        return FunctionRefused(
            f"the agent module {name!r} (SWARM_AGENT_MODULES) can't be found: searched"
            f" were {places} and the installed packages",
            hint,
            module=name,
        )
    return FunctionRefused(
        f"the project's folder, {folder}, has no module {name!r}, and SWARM_AGENT_MODULES"
        " does not list it",
        f"{hint}, or list it if it is installed",
        module=name,
    )


def _other_folders() -> Iterator[str]:
    """Yield the folders that Python searches, but those of its own and of packages."""
    for entry in sys.path:
        folder = os.path.abspath(entry)
        if os.path.isdir(folder) and not f"{folder}{os.sep}".startswith(LIBRARIES):
            yield folder
