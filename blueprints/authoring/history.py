"""`blueprint history NAME`: the commits of a Blueprint, the newest first."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import version_json, version_line
from blueprints.command_line import whole_number
from blueprints.selectors.blueprints import blueprint_get, version_list

HELP: Final = "List the commits of a Blueprint, the newest first."
USUAL: Final = 20


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="a Blueprint that is kept")
    parser.add_argument(
        "--limit",
        type=whole_number(1),
        default=USUAL,
        metavar="N",
        help=f"how many ({USUAL})",
    )
    parser.add_argument(
        "--before",
        type=whole_number(1),
        metavar="NUMBER",
        help="those before this number",
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return a page of history."""
    name, limit = options["name"], options["limit"]
    rows = version_list(name)
    if options["before"] is not None:
        rows = rows.filter(number__lt=options["before"])
    page = list(rows[: limit + 1])
    more, page = page[limit:], page[:limit]
    named: dict[str, list[str]] = {}
    for alias, one in blueprint_get(name).aliases.items():
        named.setdefault(one["commit"], []).append(alias)
    items = [
        {**version_json(row), "aliases": named.get(row.commit, [])} for row in page
    ]
    text = [
        "  ".join(
            [version_line(row), *(f"[{one}]" for one in named.get(row.commit, []))]
        )
        for row in page
    ]
    before = page[-1].number if more else None
    note = (f"older ones: --before {before}",) if more else ()
    data = {"ok": True, "items": items, "before": before}
    return Answer(FINE, data, lines(*text), note)
