"""The project of a process: whose settings it uses, and which folder is the project's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from django.core.exceptions import ImproperlyConfigured

VARIABLE: Final = "DJANGO_SETTINGS_MODULE"
OURS: Final = "swarm_project.settings"
OWN: Final = "swarm_settings"
"""The settings module of a project that the working directory has."""
CODE: Final = Path(__file__).resolve().parents[1]
"""The folder of our packages: a checkout, or where they are installed."""
PACKAGES: Final = ("blueprints", "engine", "swarm_project", "workers")
INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
"""The names of folders with installed packages, which are nobody's project."""


def choose_settings() -> None:
    """Name the settings module in the environment, unless one is named there.

    It is the `swarm_settings` of the working directory, or else our own.
    """
    if not os.environ.get(VARIABLE):
        own = os.path.isfile(f"{OWN}.py")
        os.environ[VARIABLE] = OWN if own else OURS


def project_folder() -> Path:
    """Return the folder from which Python imports the settings module.

    If that has only installed packages, it is the working directory.
    """
    folder = _import_folder(os.environ.get(VARIABLE) or OURS) or CODE
    if folder.name not in INSTALLED:
        return folder
    try:
        return Path.cwd()
    except OSError as error:
        raise ImproperlyConfigured(
            f"the working directory can't be used ({error.strerror}): change to another"
        ) from None


def refuse_namesakes(folders: Sequence[str]) -> None:
    """Raise ImproperlyConfigured if Python finds a namesake of our packages there."""
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, folders)
        # A folder without an __init__.py does not hide a package.
        if spec is None or spec.origin is None or _place(spec).parent == CODE:
            continue
        raise ImproperlyConfigured(
            f"{_place(spec)} has the name of a package of Swarm, {name!r}, and one hides"
            " the other: give it another name"
        )


def _import_folder(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location:
        return None
    return _place(spec).parents[module.count(".")]


def _place(spec: ModuleSpec) -> Path:
    """Return the file of a module, or the folder of a package."""
    path = Path(str(spec.origin)).resolve()
    return path if spec.submodule_search_locations is None else path.parent
