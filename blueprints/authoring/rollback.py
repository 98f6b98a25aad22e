"""`blueprint rollback NAME@VERSION`: make an older version the newest one again."""

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
    find_version,
)
from blueprints.services.blueprints import blueprint_rollback

HELP: Final = "Make an older version of a Blueprint the newest one, as a new commit."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="NAME@VERSION", help="the version to go back to"
    )
    add_change(parser, what="what was wrong")
    add_expect(parser)
    parser.add_argument(
        "--force", action="store_true", help="go back to a version with errors, too"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the version that is the head now; raises BlueprintInvalid."""
    row = find_version(options["name"])
    done = blueprint_rollback(
        row.blueprint_id,
        row,
        actor=actor_of(options),
        message=options["message"],
        expected=expectation_of(row.blueprint_id, options),
        force=options["force"],
    )
    return changed(done)
