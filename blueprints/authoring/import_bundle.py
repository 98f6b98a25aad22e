"""`blueprint import FILE`: register the version that a bundle holds."""

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
from blueprints.loaders.bundle import LARGEST, read_bundle
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import FileUnreadable, read_file
from blueprints.services.blueprints import blueprint_register

HELP: Final = "Register the version that a bundle holds. Exit 1 with errors."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", metavar="FILE.zip", help="what `blueprint export` wrote"
    )
    add_change(parser, what="what is imported")
    add_expect(parser)
    parser.add_argument("--label", metavar="SEMVER", help="instead of the exported one")
    parser.add_argument(
        "--force",
        action="store_true",
        help="keep it with its errors; it can't be launched",
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the version that is the head now; raises BlueprintInvalid."""
    file = options["file"]
    try:
        given = read_file(file, most=LARGEST)
    except FileUnreadable as error:
        raise DocumentInvalid(file, str(error), code="io") from None
    bundle = read_bundle(given, file)
    done = blueprint_register(
        bundle.id,
        bundle.content,
        actor=actor_of(options),
        message=options["message"],
        label=options["label"] or bundle.label,
        expected=expectation_of(bundle.id, options),
        force=options["force"],
        verb="imported",
    )
    return changed(done)
