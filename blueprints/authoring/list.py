"""`blueprint list`: the Blueprints that are kept."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import version_json, version_line
from blueprints.command_line import counted_as
from blueprints.models.blueprint_versions import VERDICTS
from blueprints.selectors.blueprints import blueprint_list

HELP: Final = "List the Blueprints that are kept, with their newest versions."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="*",
        help="words in id, description, tags, message",
    )
    parser.add_argument("--label", metavar="SEMVER", help="those with this label")
    parser.add_argument("--tag", metavar="TAG", help="those with this tag")
    parser.add_argument("--lint", choices=VERDICTS, help="those with this verdict")
    parser.add_argument(
        "--archived", action="store_true", help="the archived ones instead"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the Blueprints that all filters fit."""
    found = blueprint_list(
        archived=options["archived"],
        label=options["label"],
        tag=options["tag"],
        lint=options["lint"],
        text=" ".join(options["text"]),
    )
    rows = [row for row in found if row.head is not None]
    items = [
        {
            **version_json(row.head),
            "archived": row.is_archived,
            "aliases": {name: one["commit"] for name, one in row.aliases.items()},
        }
        for row in rows
    ]
    text = lines(*(f"{row.pk}  {version_line(row.head)}" for row in rows))
    note = f"{counted_as(len(rows), 'Blueprint')}"
    return Answer(FINE, {"ok": True, "items": items}, text, (note,))
