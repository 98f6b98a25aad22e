"""Read a document or its source that was sent: it names no files of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blueprints.loaders.cascade import Cascade, Folder
from blueprints.loaders.documents import DocumentInvalid, read_json, read_yaml
from blueprints.loaders.files import MAX_BYTES, FileUnreadable
from blueprints.loaders.lua_script import SCRIPT, run_source
from blueprints.loaders.references import (
    INCLUDES,
    ReferenceInvalid,
    expand,
    may_refer,
)
from engine.blueprint_store import Content, Source
from engine.flow.json_text import Json

FORMS: Final = (".yaml", ".yml", SCRIPT)
"""The forms of a source that builds to a document by itself."""
TOO_LARGE: Final = "size"
"""The code of the error about a document that is too large."""
_NO_FILES: Final = "a document that is sent or kept has its files in it: write it with `blueprint build`"


@dataclass(frozen=True, slots=True)
class Built:
    """What a source builds to, with the warnings of the Lua DSL and the script's log."""

    document: Json
    warnings: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuiltContent(Content):
    """What a source was built to here, with the source: nobody has to build it again."""


class _NoFiles(Cascade):
    """Finds no file."""

    def __init__(self) -> None:
        super().__init__([])

    def folder(self, include: str) -> Folder:
        """Refuse a folder."""
        raise FileUnreadable(_NO_FILES)

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """Refuse a file."""
        raise FileUnreadable(_NO_FILES)


def posted_document(content: bytes, name: str = "the document") -> Json:
    """Return the document of a JSON text that was sent; raise DocumentInvalid.

    `{"$literal": …}` stands for its data, and a reference is refused. The code of the
    error is TOO_LARGE for more than 4 MiB, which are not parsed.
    """
    _check_size(content, name)
    document = read_json(name, content)
    fields = document if isinstance(document, dict) else {}
    if INCLUDES not in fields and not may_refer(document):
        return document
    return _without_files(document, name)


def build_source(source: Source, name: str = "the source") -> Built:
    """Return what a source builds to; raise DocumentInvalid.

    A source that names files is refused, and so is a Python file, which is never run.
    """
    if source.form not in FORMS:
        rule = f"a source is one of {', '.join(FORMS)}, not {source.form!r}"
        raise DocumentInvalid(name, rule, code="unknown-format")
    content = source.text.encode()
    _check_size(content, name)
    if source.form != SCRIPT:
        return Built(_without_files(read_yaml(name, content), name))
    params = dict(source.parameters)
    document, warnings, log = run_source(Path(name), source.text, params)
    return Built(_without_files(document, name), warnings, log)


def built_content(source: Source, name: str = "the source") -> BuiltContent:
    """Return what a source builds to, to be kept with it; raise DocumentInvalid."""
    return BuiltContent(build_source(source, name).document, source)


def _check_size(content: bytes, name: str) -> None:
    if len(content) > MAX_BYTES:
        rule = f"longer than {MAX_BYTES} bytes (4 MiB)"
        raise DocumentInvalid(name, rule, code=TOO_LARGE)


def _without_files(document: Json, name: str) -> Json:
    try:
        return expand(document, _NoFiles())
    except ReferenceInvalid as error:
        kind = "unresolved-reference"
        raise DocumentInvalid(name, error.rule, error.place, error.code, kind) from None
