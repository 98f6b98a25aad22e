"""`blueprint upgrade FILE`: documents of older dialects in today's words."""

import difflib
import json
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.files import write_whole
from blueprints.authoring.findings import finding_lines
from blueprints.loaders.blueprint import SCRIPT, file_in
from blueprints.loaders.documents import load_document
from blueprints.loaders.files import MAX_BYTES, Unreadable, read_file
from blueprints.parameters import Refused
from engine.blueprint.upgrade import upgrade_with_notes
from engine.flow.json_text import Json

HELP: Final = (
    "Bring a document of an older dialect up to today's words and show the difference."
    " Only what can mean one thing is rewritten; references stay as they are."
)
# How programs lay out JSON; the first that fits is kept.
LAYOUTS: Final[tuple[Mapping[str, Any], ...]] = tuple(
    {**layout, "ensure_ascii": ascii}
    for layout in (
        *({"indent": indent} for indent in (2, 4, "\t", 1, 3, 8, None)),
        {"separators": (",", ":")},
    )
    for ascii in (False, True)
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .json or .yaml file, or folder")
    parser.add_argument(
        "--write", action="store_true", help="write the file; .json files only"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Returns the document in today's words; raises DocumentInvalid, Refused."""
    path = file_in(Path(options["file"]))
    if path.name.lower().endswith(SCRIPT):
        raise Refused(
            f"{path}: a script is not rewritten; change it where `blueprint lint`"
            " points"
        )
    document = load_document(path)
    is_json = path.suffix.lower() == ".json"
    upgraded, notes = upgrade_with_notes(document)
    found, after, diff = None, "", []
    if notes:
        # What people laid out by hand is compared, and written, in a layout of its own.
        found = _layout_of(_text_of(path), document) if is_json else None
        layout = LAYOUTS[0] if found is None else found
        after = _dumped(upgraded, layout)
        diff = _difference(path, _dumped(document, layout), after)
    write = options["write"] and bool(notes)
    if write and not is_json:
        raise Refused(
            f"{path}: writing YAML would lose its comments; change it by hand where"
            " `blueprint upgrade` without --write points"
        )
    if write and len(after.encode()) > MAX_BYTES:
        raise Refused(f"{path}: it would have more than {MAX_BYTES} bytes (4 MiB)")
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
    said = [line for note in notes for line in finding_lines(str(path), note)]
    outcome = _outcome(path, len(notes), write)
    if notes and is_json and found is None:
        outcome += "; the file is laid out anew"
    return Answer(FINE, data, lines(*said, *diff), (outcome,))


def _outcome(path: Path, changes: int, written: bool) -> str:
    if not changes:
        return f"{path}: no older words; nothing to do"
    count = f"{changes} change{'s' if changes != 1 else ''}"
    if written:
        return f"{path}: {count} written; `blueprint lint` tells what is left"
    return f"{path}: {count}; --write writes a .json file"


def _difference(path: Path, before: str, after: str) -> list[str]:
    return list(
        difflib.unified_diff(
            # Texts of the document may hold what splitlines() takes for an end.
            before.removesuffix("\n").split("\n"),
            after.removesuffix("\n").split("\n"),
            f"{path} (as it is)",
            f"{path} (today's words)",
            lineterm="",
        )
    )


def _text_of(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8")
    except (Unreadable, UnicodeDecodeError):
        # It was read a moment ago; then its layout isn't known.
        return ""


def _layout_of(text: str, document: Json) -> Mapping[str, Any] | None:
    """Returns the layout a text was written with, None if by hand."""
    for layout in LAYOUTS:
        if _dumped(document, layout).rstrip("\n") == text.rstrip():
            return layout
    return None


def _dumped(document: Json, layout: Mapping[str, Any]) -> str:
    return json.dumps(document, **layout) + "\n"
