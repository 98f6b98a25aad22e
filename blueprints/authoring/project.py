"""The files of a new project, for `swarm init`."""

from pathlib import Path
from typing import Final

from blueprints.authoring.new import FOLDER
from blueprints.parameters import ArgumentRefused

SCAFFOLD: Final = FOLDER / "project"
TEMPLATE: Final = "-tpl"
"""Ends the names of Python files that are no modules of ours."""


def make_project(target: Path) -> list[str]:
    """Write the files of a project into a folder; return their names.

    Raise ArgumentRefused if one of them exists, before anything is written.
    """
    files = {
        path.name.removesuffix(TEMPLATE): path.read_text("utf-8")
        for path in sorted(SCAFFOLD.iterdir())
    }
    for name in files:
        if (target / name).exists():
            raise ArgumentRefused(
                f"{target / name} exists already, and nothing was written; choose another"
                " folder"
            )
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            # Of two commands only one can make the file.
            with open(target / name, "x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        place = error.filename or target
        raise ArgumentRefused(f"{place}: can't be made: {error.strerror}") from None
    return list(files)
