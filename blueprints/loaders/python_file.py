"""Import a Python file that builds a Blueprint. It is the user's own code.

Workers import its functions from its folder too: it is the project's, or one more.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.agent_modules import (
    FunctionRefused,
    add_folders,
    load_module,
    require_one,
)
from blueprints.agent_sources import imported_by
from blueprints.loaders.documents import DocumentInvalid
from blueprints.written_code import import_fault
from engine.build import Blueprint

PYTHON: Final = ".py"


def built_blueprint(path: Path) -> Blueprint:
    """Return the one Blueprint that a file has as a variable; raises DocumentInvalid."""
    folder, name = os.path.dirname(os.path.realpath(path)), path.name[: -len(PYTHON)]
    if not name.isidentifier():
        raise _invalid(path, f"{name!r} is no name of a module; rename the file")
    if not path.is_file():
        raise _invalid(path, "can't be read: No such file or directory", code="io")
    if folder != os.path.realpath(settings.SWARM_PROJECT_DIR):
        _add_folder(path, folder)
    try:
        # The output of a module must not mix with the JSON of a command.
        with contextlib.redirect_stdout(sys.stderr):
            for one in imported_by(name):
                require_one(one)
            module = load_module(name)
        found = {
            id(one): one for one in vars(module).values() if isinstance(one, Blueprint)
        }
        if len(found) != 1:
            many = "more than one Blueprint" if found else "no Blueprint"
            rule = f"the module has {many}; write blueprint = Blueprint(ID, FLOW) once"
            raise _invalid(path, rule)
        [blueprint] = found.values()
        blueprint.check()
    except FunctionRefused as error:
        raise _not_imported(path, error) from None
    except TypeError as error:
        raise _invalid(path, str(error)) from None
    return blueprint


def _not_imported(path: Path, error: FunctionRefused) -> DocumentInvalid:
    """Return the error of a file that can't be imported, at its line where one is known."""
    if error.__cause__ is None:
        return _invalid(path, str(error))
    fault = import_fault(error.__cause__)
    own = os.path.realpath(fault.file) == os.path.realpath(path)
    file = path if own or not fault.file else fault.file
    line, column = fault.line, fault.column
    return DocumentInvalid(file, fault.text, code="python", line=line, column=column)


def _add_folder(path: Path, folder: str) -> None:
    """Let workers import from the folder of a file; its name is passed in a list."""
    if "," in folder or folder != folder.strip():
        rule = f"workers can't be given the folder {folder!r}: rename it"
        raise _invalid(path, rule)
    add_folders([folder])


def lines_of_file(path: Path) -> list[tuple[list[str | int], int]]:
    """Return keys and line of each node that the file itself makes.

    Raises LookupError if the file can't be imported.
    """
    try:
        lines = list(built_blueprint(path).lines())
    except DocumentInvalid as error:
        raise LookupError(error.rule) from None
    own = os.path.realpath(path)
    return [
        (list(keys), line) for keys, at, line in lines if os.path.realpath(at) == own
    ]


def _invalid(path: Path, rule: str, code: str = "python") -> DocumentInvalid:
    return DocumentInvalid(path, rule, code=code)
