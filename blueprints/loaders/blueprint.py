"""Reads a Blueprint from a JSON, YAML or Lua file, or a folder that holds one.

What comes out is complete: every reference is replaced by what it names.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.loaders.cascade import Cascade, cascade_of
from blueprints.loaders.documents import MAX_BYTES, DocumentInvalid, load_document
from blueprints.loaders.files import Unreadable
from blueprints.loaders.lua_script import run_script
from blueprints.loaders.references import ReferenceInvalid, escape, expand
from engine.blueprint.diagnostics import Diagnostic, resolve_place
from engine.flow.json_text import Json, dump_compact

SCRIPT: Final = ".bp.lua"
FORMS: Final = (".json", ".yaml", ".yml", SCRIPT)

_EMPTY_TABLE: Final = "an empty Lua table is an object; write F.arr() for an array"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A complete document and the file it came from.

    `warnings` is what the Lua DSL remarked, `log` what the script printed.
    """

    path: Path
    document: Json
    warnings: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """The lines a terminal shows of the script."""
        return (*self.log, *(f"warning: {text}" for text in self.warnings))

    def hinted(self, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """Returns findings with what a script's author has to know of them."""
        if not self.path.name.lower().endswith(SCRIPT):
            return tuple(found)
        return tuple(
            replace(one, help=_EMPTY_TABLE) if self._is_empty_table(one) else one
            for one in found
        )

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
    """Returns the Blueprint in a file, or in the one `blueprint.*` file of a folder.

    `includes` are folders searched after those of SWARM_BLUEPRINT_INCLUDES; `params`
    is what a `.bp.lua` script is given. Raises DocumentInvalid.
    """
    for include in includes:
        if not os.path.isdir(include):
            rule = f"the folder to be searched is not there: {include}"
            raise DocumentInvalid(path, rule, code="includes")
    file = file_in(Path(path))
    loaded = _read(file, params)
    outer = (
        ("SWARM_BLUEPRINT_INCLUDES", settings.SWARM_BLUEPRINT_INCLUDES),
        ("--include", includes),
    )
    try:
        document = expand(loaded.document, cascade_of(file.parent, outer))
    except Unreadable as error:
        raise DocumentInvalid(file, f"its folder {error}", code="io") from None
    except ReferenceInvalid as error:
        raise _unresolved(file, error) from None
    return Loaded(file, document, loaded.warnings, loaded.log)


def posted_blueprint(document: Json, name: str = "the document") -> Json:
    """Returns a document that was handed over without a folder; it has no references.

    `$literal` means what it means in a file. Raises DocumentInvalid.
    """
    try:
        return expand(document, Cascade())
    except ReferenceInvalid as error:
        raise _unresolved(name, error) from None


def _unresolved(file: str | Path, error: ReferenceInvalid) -> DocumentInvalid:
    kind = "unresolved-reference"
    return DocumentInvalid(file, error.rule, error.place, error.code, kind)


def embedded_text(document: Json) -> str:
    """Returns a complete document as JSON text that needs no other file.

    The same document gives the same text, and reading it gives the document.
    """
    escaped = escape(document)
    text = json.dumps(escaped, ensure_ascii=False, indent=2) + "\n"
    # Indents can make a long text too long to be read again.
    return text if len(text.encode()) <= MAX_BYTES else dump_compact(escaped)


def _read(file: Path, params: Json) -> Loaded:
    if not file.name.lower().endswith(FORMS):
        rule = f"a Blueprint's name ends in {', '.join(FORMS[:-1])} or {FORMS[-1]}"
        raise DocumentInvalid(file, rule, code="unknown-format")
    if file.name.lower().endswith(SCRIPT):
        return Loaded(file, *run_script(file, params))
    return Loaded(file, load_document(file))


def file_in(path: Path) -> Path:
    """Returns the file of a Blueprint that may be given by its folder.

    Raises DocumentInvalid.
    """
    # Other than Path's, it never raises: reading tells what is wrong.
    if not os.path.isdir(path):
        return path
    names = [f"blueprint{form}" for form in FORMS]
    # A broken link is there too: reading it tells what is wrong.
    found = [name for name in names if os.path.lexists(path / name)]
    if len(found) == 1:
        return path / found[0]
    if not found:
        rule = f"the folder holds no Blueprint; expected one of {', '.join(names)}"
    else:
        rule = f"the folder holds more than one Blueprint: {', '.join(found)}"
    raise DocumentInvalid(path, rule, code="folder")
