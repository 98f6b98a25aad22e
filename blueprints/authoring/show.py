"""`blueprint show NAME`: one version of a Blueprint, its aliases and its findings."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer, lines
from blueprints.authoring.kept import find_version, first, version_json, version_line
from blueprints.models import Blueprint, BlueprintVersion
from blueprints.selectors.blueprints import event_list, version_content
from engine.blueprint_store import CommitUnreadable

HELP: Final = "Show a version of a Blueprint: its document, aliases, findings, events."
MOST_EVENTS: Final = 10
"""How many of the newest events are shown."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", metavar="NAME[@VERSION]", help="a Blueprint that is kept"
    )


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the version with what belongs to it."""
    row = find_version(options["name"])
    blueprint = row.blueprint
    try:
        document = version_content(row).document
    except CommitUnreadable:
        document = None
    events = list(event_list(blueprint.pk)[:MOST_EVENTS])
    data = {
        "ok": True,
        **version_json(row),
        "head": row.pk == blueprint.head_id,
        "archived": blueprint.is_archived,
        "aliases": blueprint.aliases,
        "diagnostics": row.findings,
        "events": [
            {
                "verb": one.verb,
                "at": one.at.isoformat(),
                "by": one.actor_name,
                "email": one.actor_email,
                "reason": one.reason,
                "from": one.old_version or None,
                "to": one.new_version or None,
                **one.data,
            }
            for one in events
        ],
        "document": document,
    }
    rows = [*_rows(blueprint, row)]
    rows += [
        f"  {one.at:%Y-%m-%d %H:%M} {one.actor_name} {one.verb}: {first(one.reason)}"
        for one in events
    ]
    return Answer(FINE, data, lines(*rows))


def _rows(blueprint: Blueprint, row: BlueprintVersion) -> Iterator[str]:
    yield f"{blueprint.pk}  {version_line(row)}"
    if row.description:
        yield f"  {first(row.description)}"
    if blueprint.is_archived:
        why = first(blueprint.archived_why)
        yield f"  archived by {blueprint.archived_by}: {why}"
    for name, one in blueprint.aliases.items():
        yield f"  {name} is {one['commit'][:12]}, moved by {one['by']}"
    if row.fault:
        yield f"  {row.fault}"
    for found in row.findings:
        place = found["span"]["json_path"]
        yield f"  {found['level'].lower()}: {place}: {found['message']} [{found['kind']}]"
