"""`blueprint blame NAME`: which version last changed each node and each agent."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import find_version, version_json, version_line
from blueprints.selectors.blueprints import version_content
from engine.blueprint.comparison import Version, blame
from engine.flow.json_text import Json

HELP: Final = "Name the version that last changed each node and each agent."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="NAME[@VERSION]", help="a Blueprint that is kept"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the versions by node and agent; older ones are read as far as needed."""
    row = find_version(options["name"])
    older = row.blueprint.versions.filter(number__lte=row.number, fault="")
    # Only the newest of a line that was repaired by hand is followed.
    rows = {one.commit: one for one in older.order_by("-number").defer("findings")}
    found = blame(
        Version(one.commit, version_content(one).document, one.known_identities)
        for one in rows.values()
    )
    changed = {"nodes": found.nodes, "agents": found.agents}
    data: dict[str, Json] = {"ok": True, "version": version_json(row)}
    text: list[str] = []
    for kind, commits in changed.items():
        data[kind] = {name: version_json(rows[one]) for name, one in commits.items()}
        text += [f"{name}  {version_line(rows[one])}" for name, one in commits.items()]
    return Answer(FINE, data, lines(*text))
