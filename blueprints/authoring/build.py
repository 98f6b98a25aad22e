"""`blueprint build FILE`: make one document that needs no other file."""

import os
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, finding_lines
from blueprints.authoring.files import write_whole
from blueprints.authoring.source import (
    add_levels,
    add_source,
    lint_loaded,
    lint_options,
    load,
)
from blueprints.loaders.blueprint import embedded_text
from blueprints.loaders.references import escape
from blueprints.parameters import ArgumentRefused
from blueprints.preflight import compile_here
from engine.blueprint import BlueprintInvalid, Level
from engine.blueprint_store import version_of
from engine.flow.json_text import Json

HELP: Final = (
    "Run the script, replace every reference by its content and write the document."
    " Exit 1 with errors; then nothing is written."
)
SUFFIX: Final = ".json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    add_levels(parser)
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT.json",
        help="the file to write; standard output without it",
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the document; raises BlueprintInvalid, DocumentInvalid or ArgumentRefused."""
    out = options["out"]
    if out is not None and not out.lower().endswith(SUFFIX):
        raise ArgumentRefused(
            f"--out {out}: the output is JSON; end the name in {SUFFIX}"
        )
    settings = lint_options(options)
    loaded = load(options["file"], options)
    if out is not None and os.path.realpath(out) == os.path.realpath(loaded.path):
        raise ArgumentRefused(
            f"--out {out}: that is the Blueprint itself; name another file"
        )
    report = lint_loaded(loaded, settings)
    errors = [one for one in report.diagnostics if one.level is Level.ERROR]
    if errors:
        raise BlueprintInvalid(errors)
    program = compile_here(loaded.document, anywhere=True)
    text = embedded_text(loaded.document)
    if out is not None:
        write_whole(Path(out), text)
    digest = document_hash(loaded.document)
    found = [
        line
        for one in report.diagnostics
        if one.level is Level.WARN
        for line in finding_lines(str(loaded.path), one)
    ]
    data: dict[str, Json] = {
        "ok": True,
        "file": str(loaded.path),
        "out": out,
        "program_id": program.program_id,
        "document_hash": digest,
        "diagnostics": [one.to_json() for one in report.diagnostics],
    }
    if out is None:
        data["document"] = escape(loaded.document)
    notes = (f"program {program.program_id}", f"document {digest}")
    shown = "" if out is not None else text
    return Answer(FINE, data, shown, (*loaded.log, *found, *notes))


def document_hash(document: Json) -> str:
    """Return the sha-256 of a complete document's canonical JSON, as 64 hex digits."""
    return version_of(document).removeprefix("sha256:")
