"""`blueprint reindex`: make the rows about Blueprints anew from the repository."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import login_actor
from blueprints.command_line import counted_as
from blueprints.index.reindex import blueprint_reindex

HELP: Final = "Make the index of the repository anew and list what was different."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="only this Blueprint; all without it"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the differences, which are corrected."""
    found = blueprint_reindex(options["name"], by=login_actor().author)
    items = [{"id": one.id, "commit": one.commit, "text": one.text} for one in found]
    note = counted_as(len(found), "difference")
    return Answer(
        FINE, {"ok": True, "differences": items}, lines(*map(str, found)), (note,)
    )
