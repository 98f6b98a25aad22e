"""`blueprint unarchive NAME`: take a Blueprint out of the archive."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import actor_of, add_change
from blueprints.services.blueprints import blueprint_unarchive

HELP: Final = "Take a Blueprint out of the archive."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="an archived Blueprint")
    add_change(parser, what="what is needed again")


def answer(options: Mapping[str, Any]) -> Answer:
    """Return that it is not archived."""
    row = blueprint_unarchive(
        options["name"], actor=actor_of(options), message=options["message"]
    )
    data = {"ok": True, "id": row.pk, "archived": row.is_archived}
    return Answer(FINE, data, lines(f"{row.pk} is not archived"))
