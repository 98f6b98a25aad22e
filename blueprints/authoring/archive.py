"""`blueprint archive NAME`: keep a Blueprint from being changed or launched."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import actor_of, add_change
from blueprints.services.blueprints import blueprint_archive

HELP: Final = "Archive a Blueprint: it can be read, and not be changed or launched."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a Blueprint that is kept")
    add_change(parser, what="what is archived")


def answer(options: Mapping[str, Any]) -> Answer:
    """Return that it is archived."""
    row = blueprint_archive(
        options["name"], actor=actor_of(options), message=options["message"]
    )
    data = {"ok": True, "id": row.pk, "archived": row.is_archived}
    return Answer(FINE, data, lines(f"{row.pk} is archived"))
