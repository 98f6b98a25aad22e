"""`blueprint export NAME`: write one version as a bundle, for another installation."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.files import write_whole
from blueprints.authoring.kept import find_version, version_json
from blueprints.command_line import file_to_write
from blueprints.loaders.bundle import Bundle, bundle_bytes
from blueprints.selectors.blueprints import version_content

HELP: Final = "Write one version of a Blueprint as a bundle: a zip file."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="NAME[@VERSION]", help="a Blueprint that is kept"
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT.zip",
        type=file_to_write,
        required=True,
        help="the file to write",
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return which version was written."""
    row, out = find_version(options["name"]), options["out"]
    content = version_content(row)
    bundle = Bundle(row.blueprint_id, content, row.label or None, row.message)
    write_whole(out, bundle_bytes(bundle))
    data = {"ok": True, "out": str(out), **version_json(row)}
    return Answer(FINE, data, lines(f"{out}: {row.blueprint_id} {row.version}"))
