"""Read a Blueprint from a JSON, YAML, Lua or Python file, or from a folder with one.

The result is complete: the content of each file replaces its reference.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson
from django.conf import settings

from blueprints.loaders.cascade import cascade_of
from blueprints.loaders.documents import DocumentInvalid, load_document
from blueprints.loaders.files import MAX_BYTES, FileUnreadable, read_file
from blueprints.loaders.lua_script import SCRIPT, run_script
from blueprints.loaders.positions import with_positions
from blueprints.loaders.python_file import PYTHON, built_blueprint
from blueprints.loaders.references import ReferenceInvalid, escape, expand
from engine.blueprint.findings.diagnostics import (
    Diagnostic,
    place_parts,
    resolve_place,
)
from engine.flow.json_text import Json, dump_compact

FORMS: Final = (".json", ".yaml", ".yml", SCRIPT)

_EMPTY_TABLE: Final = "an empty Lua table is an object; write F.arr() for an array"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A complete document and its file.

    `warnings` are those of the Lua DSL, `log` the lines that the script printed, and
    `params` its parameters. `sha256` is that of the file.
    """

    path: Path
    document: Json
    warnings: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    params: Json = None
    sha256: str = ""

    @property
    def script_lines(self) -> tuple[str, ...]:
        """The log and the warnings as lines for a terminal."""
        return (*self.log, *(f"warning: {text}" for text in self.warnings))

    def placed(self, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Return findings with their positions in the file.

        Those about empty Lua tables get a hint for the author. Those about an agent of a
        Python file name it: the file has no list of agents with the number in the place.
        """
        if self.path.name.lower().endswith(SCRIPT):
            found = [
                replace(one, help=_EMPTY_TABLE) if self._is_empty_table(one) else one
                for one in found
            ]
        if self.path.name.lower().endswith(PYTHON):
            found = [self._with_agent(one) for one in found]
        return with_positions(self.path, found, self.params)

    def _with_agent(self, found: Diagnostic) -> Diagnostic:
        try:
            parts = place_parts(found.place)
        except LookupError:
            return found
        match parts[:2]:
            case ["agents", int(number)]:
                name = self.document["agents"][number]["name"]
                if repr(name) not in found.message:
                    text = f"the agent {name!r}: {found.message}"
                    return replace(found, message=text)
        return found

    def _is_empty_table(self, found: Diagnostic) -> bool:
        if not found.message.startswith("expected an array, got an object"):
            return False
        try:
            return resolve_place(self.document, found.place) == {}
        except LookupError:
            return False


def load_blueprint(
    path: str | Path, *, includes: Sequence[str] = (), params: Json = None
) -> Loaded:
    """Return the Blueprint in a file, or in the one `blueprint.*` file of a folder.

    `includes` are folders searched after those of SWARM_BLUEPRINT_INCLUDES; `params`
    are the parameters of a `.bp.lua` script. Raises DocumentInvalid.
    """
    for include in includes:
        if not os.path.isdir(include):
            rule = f"the folder of --include does not exist: {include}"
            raise DocumentInvalid(path, rule, code="includes")
    file = file_in(Path(path))
    # Before it is loaded: the hash of a file that changes meanwhile fits no later state.
    digest = _sha256(file)
    if file.name.lower().endswith(SCRIPT):
        loaded = Loaded(file, *run_script(file, params), params)
    elif file.suffix == PYTHON:
        loaded = Loaded(file, built_blueprint(file).document)
    else:
        loaded = Loaded(file, load_document(file))
    outer = (
        ("SWARM_BLUEPRINT_INCLUDES", settings.SWARM_BLUEPRINT_INCLUDES),
        ("--include", includes),
    )
    try:
        document = expand(loaded.document, cascade_of(file.parent, outer))
    except FileUnreadable as error:
        raise DocumentInvalid(file, f"its folder {error}", code="io") from None
    except ReferenceInvalid as error:
        kind = "unresolved-reference"
        raise DocumentInvalid(file, error.rule, error.place, error.code, kind) from None
    return replace(loaded, document=document, sha256=digest)


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(read_file(file)).hexdigest()
    except FileUnreadable:
        # The reader of its form reports it.
        return ""


def embedded_text(document: Json) -> str:
    """Return a complete document as JSON text that needs no other file.

    The same document gives the same text, and reading it gives the document.
    """
    escaped = escape(document)
    layout = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    text = orjson.dumps(escaped, option=layout)
    # Indents can make the text longer than the reader allows.
    return text.decode() if len(text) <= MAX_BYTES else dump_compact(escaped)


def file_in(path: Path) -> Path:
    """Return a file, or the Blueprint's file in a folder; raises DocumentInvalid."""
    # Unlike Path.is_dir this raises nothing; the reader reports the error.
    if not os.path.isdir(path):
        return path
    names = [f"blueprint{form}" for form in FORMS]
    # Count broken links as well; the reader reports them.
    found = [name for name in names if os.path.lexists(path / name)]
    if len(found) == 1:
        return path / found[0]
    if not found:
        rule = f"the folder has no Blueprint; expected one of {', '.join(names)}"
    else:
        rule = f"the folder has more than one Blueprint: {', '.join(found)}"
    raise DocumentInvalid(path, rule, code="folder")
