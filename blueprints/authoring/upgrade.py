"""`blueprint upgrade FILE`: rewrite a document of an older dialect."""

import difflib
import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, finding_lines, lines
from blueprints.authoring.files import write_whole
from blueprints.authoring.kept import is_kept, load_kept
from blueprints.command_line import counted_as
from blueprints.loaders.blueprint import SCRIPT, file_in
from blueprints.loaders.documents import load_document
from blueprints.loaders.files import MAX_BYTES, FileUnreadable, read_text
from blueprints.parameters import ArgumentRefused
from engine.blueprint.upgrade import upgrade
from engine.flow.json_text import Json

HELP: Final = (
    "Rewrite a document of an older dialect in today's words and show the difference."
    " Only unambiguous parts are rewritten; references stay as they are."
)
# The usual layouts of JSON; an upgrade keeps the layout of the file.
LAYOUTS: Final[tuple[Mapping[str, Any], ...]] = tuple(
    {**layout, "ensure_ascii": ascii}
    for layout in (
        *({"indent": indent} for indent in (2, 4, "\t", 1, 3, 8, None)),
        {"separators": (",", ":")},
    )
    for ascii in (False, True)
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a .json or .yaml file, a folder, or NAME[@VERSION]",
    )
    parser.add_argument(
        "--write", action="store_true", help="write the file; .json files only"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the document in today's words; raises DocumentInvalid, ArgumentRefused."""
    path, document = _document_of(options["file"])
    if options["write"] and is_kept(options["file"]):
        raise ArgumentRefused(
            f"{path} is no file: write one with `blueprint build`, and register it"
        )
    is_json = path.suffix.lower() == ".json"
    upgraded, notes = upgrade(document)
    found, after, diff = None, "", []
    if notes:
        # A layout by hand can't be kept: both versions get the first of the usual ones.
        found = _layout_of(path, document) if is_json else None
        layout = LAYOUTS[0] if found is None else found
        after = _dumped(upgraded, layout)
        diff = _difference(path, _dumped(document, layout), after)
    write = options["write"] and bool(notes)
    if write and not is_json:
        raise ArgumentRefused(
            f"{path}: writing YAML would lose its comments; change it by hand where"
            " `blueprint upgrade` without --write points"
        )
    if write and len(after.encode()) > MAX_BYTES:
        raise ArgumentRefused(f"{path} would have more than {MAX_BYTES} bytes (4 MiB)")
    if write:
        write_whole(path, after)
    data: dict[str, Json] = {
        "ok": True,
        "file": str(path),
        "changes": [note.to_json() for note in notes],
        "written": write,
        "diff": "".join(f"{row}\n" for row in diff),
        "document": upgraded,
    }
    changes = [line for note in notes for line in finding_lines(str(path), note)]
    outcome = _outcome(path, len(notes), write)
    if notes and is_json and found is None:
        outcome += "; the file gets a new layout"
    return Answer(FINE, data, lines(*changes, *diff), (outcome,))


def _document_of(file: str) -> tuple[Path, Json]:
    """Return a document with its references, and its path or its name and version."""
    if is_kept(file):
        kept = load_kept(file)
        return kept.path, kept.document
    path = file_in(Path(file))
    if path.name.lower().endswith(SCRIPT):
        raise ArgumentRefused(
            f"{path}: a script is not rewritten; change it where `blueprint lint`"
            " points"
        )
    return path, load_document(path)


def _outcome(path: Path, changes: int, written: bool) -> str:
    if not changes:
        return f"{path}: no older words; nothing to do"
    count = counted_as(changes, "change")
    if written:
        return f"{path}: {count} written; `blueprint lint` lists what is left"
    return f"{path}: {count}; --write writes a .json file"


def _difference(path: Path, before: str, after: str) -> list[str]:
    return list(
        difflib.unified_diff(
            # A text in the document may contain other line ends of splitlines().
            before.removesuffix("\n").split("\n"),
            after.removesuffix("\n").split("\n"),
            f"{path} (as it is)",
            f"{path} (today's words)",
            lineterm="",
        )
    )


def _layout_of(path: Path, document: Json) -> Mapping[str, Any] | None:
    """Return the layout of a JSON file, None for a layout by hand."""
    try:
        text = read_text(path).rstrip()
    except FileUnreadable:
        # Another program removed the file after it was loaded.
        return None
    fits = (one for one in LAYOUTS if _dumped(document, one).rstrip("\n") == text)
    return next(fits, None)


def _dumped(document: Json, layout: Mapping[str, Any]) -> str:
    return json.dumps(document, **layout) + "\n"
