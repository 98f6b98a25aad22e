"""The source of agent functions as hashes, to tell whether a worker has the one here.

A function's source is its module and the modules of the project, or listed ones, that
this imports, at any depth, without their flows. Imports are read from the text; what a
module imports by a computed name is not seen.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import resolve_name
from pathlib import Path
from typing import Final, TypeAlias

from django.conf import settings

from blueprints.agent_modules import SWARM, module_folders
from blueprints.conf import spawner_class, spawner_kinds
from engine import build
from engine.blueprint import Agent

Hashes: TypeAlias = Mapping[str, str]
"""By the name of a module, the hash of its file."""

ANY: Final = "*"
BUILD: Final = build.__name__.encode()
PACKAGE: Final = "__init__.py"
BUILT: Final = frozenset(
    name
    for name in build.__all__
    if getattr(build, name).__module__.startswith(build.__name__)
)
"""What makes nodes, expressions and Blueprints."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The functions of agents of which others have another source, or none."""

    other: tuple[str, ...]
    none: tuple[str, ...]


def module_hashes() -> dict[str, str]:
    """Return the hashes of all modules that functions may be in; import none."""
    files = _files()
    return {name: hashed for name, hashed in _hashes(files, files).items() if hashed}


def source_hashes(agents: Iterable[Agent]) -> dict[str, str]:
    """Return by name a hash of the source of each function that agents name."""
    return {
        function: _joined(hashes)
        for function, hashes in function_sources(agents).items()
    }


def function_sources(agents: Iterable[Agent]) -> dict[str, Hashes]:
    """Return by name the source of each function that agents name; ours have none."""
    files, here = _files(), set(spawner_kinds())
    named = {
        function: module
        for agent in agents
        if agent.kind in here
        for function, module in spawner_class(agent.kind).functions(agent)
    }
    # Most functions share a module, which is read and parsed once.
    below = {module: _reached(module, files) for module in set(named.values())}
    reached = {function: below[module] for function, module in named.items()}
    hashes = _hashes(sorted(frozenset().union(*reached.values())), files)
    return {
        function: {name: hashes[name] for name in sorted(modules)}
        for function, modules in reached.items()
        if modules
    }


def source_difference(functions: Mapping[str, Hashes], theirs: Hashes) -> Difference:
    """Return of which functions others, who have the modules `theirs`, lack the source."""
    other, none = [], []
    for function, modules in functions.items():
        if not theirs.keys() >= modules.keys():
            none.append(function)
        elif any(theirs[name] != hashed for name, hashed in modules.items()):
            other.append(function)
    return Difference(tuple(other), tuple(none))


def imported_by(module: str) -> frozenset[str]:
    """Return the modules of a module's source, itself too; import none."""
    return _reached(module, _files())


def _joined(hashes: Hashes) -> str:
    lines = "".join(f"{name} {hashed}\n" for name, hashed in hashes.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def _hashes(names: Iterable[str], files: Mapping[str, Path]) -> dict[str, str]:
    """Return the hashes of modules without their flows, empty for those not readable."""
    texts = {name: _read(files[name]) for name in names}
    with_flows = [name for name, text in texts.items() if text and BUILD in text]
    imported = _imported_names(with_flows, files) if with_flows else {}
    hashed = {}
    for name, text in texts.items():
        if text is not None and name in imported:
            text = _without_flows(text, imported[name])
        hashed[name] = "" if text is None else hashlib.sha256(text).hexdigest()
    return hashed


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _imported_names(
    modules: Iterable[str], files: Mapping[str, Path]
) -> dict[str, set[str]]:
    """Return by module the names that other modules may have from it; `*` is any."""
    found: dict[str, set[str]] = {module: set() for module in modules}
    marks = {module: module.rpartition(".")[2].encode() for module in found}
    for name, file in files.items():
        text = _read(file) or b""
        if any(mark in text for module, mark in marks.items() if module != name):
            for module, names in _imports(name, file):
                if module in found and module != name:
                    found[module] |= names
    return found


def _without_flows(text: bytes, imported: Set[str]) -> bytes:
    """Leave out the assignments of nodes, expressions and Blueprints to plain names.

    They are the program, which a run brings along: a flow that is edited makes its
    functions no others. Those that other modules import stay, and those that a statement
    which stays mentions.
    """
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return text
    if ANY in imported:
        return text
    made: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module == build.__name__:
            for one in node.names:
                made |= BUILT if one.name == ANY else {one.name} & BUILT
    kept: set[int] = set()
    out: set[int] = set()
    used, parts = set(imported), body
    while True:
        stay = [node for node in parts if not _makes_a_part(node, made, used)]
        if not stay:
            break
        parts = [node for node in parts if _makes_a_part(node, made, used)]
        for node in stay:
            kept.update(_lines(node))
            used |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    for node in parts:
        out.update(_lines(node))
    rows = text.splitlines(keepends=True)
    return b"".join(row for n, row in enumerate(rows, 1) if n not in out or n in kept)


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _makes_a_part(node: ast.stmt, made: Set[str], used: Set[str]) -> bool:
    """Return whether a statement assigns what a function in `made` returns."""
    match node:
        case ast.Assign(targets=[ast.Name(name)], value=ast.Call(func=ast.Name(maker))):
            return maker in made and name not in used
    return False


def _files() -> dict[str, Path]:
    """Return by name the files of the modules that functions may be in."""
    listed = [spec for one in settings.SWARM_AGENT_MODULES if (spec := _spec_of(one))]
    found = dict(_modules(listed))
    for folder in reversed(module_folders()):
        own = [
            spec
            for one in pkgutil.iter_modules([folder])
            if one.name not in SWARM
            and (spec := PathFinder.find_spec(one.name, [folder]))
        ]
        found.update(_modules(own))
    return found


def _spec_of(name: str) -> ModuleSpec | None:
    """Return how a module would be imported; unlike importlib, import no package."""
    path: list[str] | None = [*module_folders(), *sys.path]
    spec, so_far = None, ""
    for part in name.split("."):
        so_far = f"{so_far}.{part}" if so_far else part
        spec = PathFinder.find_spec(so_far, path) if path is not None else None
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def _modules(
    specs: Iterable[ModuleSpec], around: frozenset[Path] = frozenset()
) -> Iterator[tuple[str, Path]]:
    """Yield name and file of modules, and of those in packages among them.

    `around` are the folders that these are in: a link may lead back to one.
    """
    for spec in specs:
        if spec.has_location and spec.origin is not None:
            yield spec.name, Path(spec.origin)
        folders = spec.submodule_search_locations or ()
        inside = around | {Path(one).resolve() for one in folders}
        if len(inside) > len(around):
            names = [f"{spec.name}.{one.name}" for one in pkgutil.iter_modules(folders)]
            inner = (PathFinder.find_spec(name, folders) for name in names)
            yield from _modules((one for one in inner if one is not None), inside)


def _reached(module: str, files: Mapping[str, Path]) -> frozenset[str]:
    """Return a module and those that it imports, at any depth, which have a file here."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        while name:
            if name in files and name not in reached:
                reached.add(name)
                waiting += [found for found, _ in _imports(name, files[name])]
            # A module's packages are imported with it.
            name = name.rpartition(".")[0]
    return frozenset(reached)


def _imports(name: str, file: Path) -> Iterator[tuple[str, Set[str]]]:
    """Yield what a module may import, also in its functions, with the names it uses."""
    package = name if file.name == PACKAGE else name.rpartition(".")[0]
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        match node:
            case ast.Import():
                yield from ((one.name, attributes) for one in node.names)
            case ast.ImportFrom():
                base = f"{'.' * node.level}{node.module or ''}"
                with contextlib.suppress(ImportError):
                    base = resolve_name(base, package) if node.level else base
                    yield base, {one.name for one in node.names}
                    yield from (
                        (f"{base}.{one.name}", attributes) for one in node.names
                    )
