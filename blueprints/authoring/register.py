"""`blueprint register FILE`: keep a Blueprint under its id, as its newest version."""

import os
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import Answer
from blueprints.authoring.kept import (
    actor_of,
    add_change,
    add_expect,
    changed,
    expectation_of,
)
from blueprints.authoring.source import add_source, load
from blueprints.loaders.blueprint import Loaded
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import FileUnreadable, read_text
from blueprints.loaders.posted import FORMS, built_content
from blueprints.services.blueprints import blueprint_register
from engine.blueprint import BlueprintInvalid
from engine.blueprint_store import Content, Source, version_of

HELP: Final = (
    "Keep a Blueprint under its id, as its newest version. Exit 1 with errors; then"
    " nothing is kept."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    add_change(parser)
    add_expect(parser)
    parser.add_argument(
        "--label", metavar="SEMVER", help="such as 1.2.0, to find the version by"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="keep it with its errors; it can't be launched",
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the version that is the head now; raises BlueprintInvalid."""
    loaded = load(options["file"], options)
    document = loaded.document
    id = document.get("id") if isinstance(document, dict) else None
    name = id if isinstance(id, str) else ""
    content, note = _content_of(loaded)
    try:
        done = blueprint_register(
            name,
            content,
            actor=actor_of(options),
            message=options["message"],
            label=options["label"],
            expected=expectation_of(name, options),
            force=options["force"],
        )
    except BlueprintInvalid as error:
        raise type(error)(loaded.placed(error.diagnostics)) from None
    return changed(done, *loaded.log, *note, diagnostics=done.version.findings)


def _content_of(loaded: Loaded) -> tuple[Content, tuple[str, ...]]:
    """Return a document with the source that is kept with it, or a note why none is."""
    alone = Content(loaded.document)
    form = next((one for one in FORMS if loaded.path.name.lower().endswith(one)), None)
    if form is None or not os.path.isfile(loaded.path):
        return alone, ()
    params = loaded.params if isinstance(loaded.params, dict) else {}
    try:
        content = built_content(Source(form, read_text(loaded.path), params))
    except (DocumentInvalid, FileUnreadable):
        content = None
    if content is None or content.version != version_of(loaded.document):
        note = f"{loaded.path}: its text is not kept, since it needs other files"
        return alone, (note,)
    return content, ()
