"""`blueprint blame NAME`: which version last changed each node and each agent."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import find_version, version_json, version_line
from blueprints.selectors.blueprints import version_blame
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
    found = version_blame(row)
    data: dict[str, Json] = {"ok": True, "version": version_json(row)}
    text: list[str] = []
    for kind, commits in (("nodes", found.nodes), ("agents", found.agents)):
        rows = {name: found.versions[str(one)] for name, one in commits.items()}
        data[kind] = {name: version_json(one) for name, one in rows.items()}
        text += [f"{name}  {version_line(one)}" for name, one in rows.items()]
    return Answer(FINE, data, lines(*text))
