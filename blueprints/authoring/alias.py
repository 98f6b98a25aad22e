"""`blueprint alias NAME@VERSION ALIAS`: move an alias, such as `prod`, or remove it."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import (
    SHOWN,
    actor_of,
    add_change,
    add_expect,
    expectation_of,
    find_version,
)
from blueprints.services.blueprints import alias_remove, alias_set

HELP: Final = (
    "Make an alias, such as prod, name a version of a Blueprint, or remove it."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="NAME[@VERSION]", help="the version to be named"
    )
    parser.add_argument("alias", metavar="ALIAS", help="launched as NAME@ALIAS")
    add_change(parser, what="what is published")
    add_expect(parser, of="alias")
    parser.add_argument("--remove", action="store_true", help="remove the alias")


def answer(options: Mapping[str, Any]) -> Answer:
    """Return what the alias names now."""
    row, alias = find_version(options["name"]), options["alias"]
    id = row.blueprint_id
    given: dict[str, Any] = {
        "actor": actor_of(options),
        "message": options["message"],
        "expected": expectation_of(id, options),
    }
    data: dict[str, Any] = {"ok": True, "id": id, "alias": alias}
    if options["remove"]:
        removed = alias_remove(id, alias, **given)
        text = f"{id}@{alias} {'is removed' if removed else 'did not exist'}"
        return Answer(FINE, {**data, "removed": removed}, lines(text))
    now = alias_set(id, alias, row, **given).aliases[alias]
    text = f"{id}@{alias} is {now['version'][:SHOWN]}  {now['commit'][:12]}"
    return Answer(FINE, {**data, **now}, lines(text))
