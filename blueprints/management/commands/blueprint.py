"""`manage.py blueprint VERB …`: write, check, inspect and keep Blueprints."""

import json
import sys
from collections.abc import Iterable
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import DatabaseError

from blueprints.authoring import (
    alias,
    archive,
    blame,
    build,
    diff,
    doctor,
    explain,
    export,
    history,
    import_bundle,
    lint,
    list,
    new,
    register,
    reindex,
    rollback,
    schema,
    show,
    unarchive,
    upgrade,
)
from blueprints.authoring.answer import (
    INVALID,
    REFUSED,
    Answer,
    finding_lines,
    lines,
    unread_lines,
)
from blueprints.authoring.kept import no_database
from blueprints.command_line import SwarmCommand, counted_as
from blueprints.conf import lua_host
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.positions import diagnostic_of
from blueprints.parameters import ArgumentRefused
from blueprints.selectors.version_selector import VersionUnknown
from engine.blueprint import BlueprintInvalid
from engine.blueprint_store import BlueprintStoreError
from engine.flow.json_text import Json

FILES: Final = {
    "new": new,
    "lint": lint,
    "build": build,
    "upgrade": upgrade,
    "schema": schema,
    "explain": explain,
    "doctor": doctor,
}
"""The verbs about a Blueprint, wherever it is."""
KEPT: Final = {
    "register": register,
    "list": list,
    "show": show,
    "history": history,
    "blame": blame,
    "diff": diff,
    "rollback": rollback,
    "alias": alias,
    "archive": archive,
    "unarchive": unarchive,
    "export": export,
    "import": import_bundle,
    "reindex": reindex,
}
"""The verbs about Blueprints that are kept."""
VERBS: Final = {**FILES, **KEPT}


class Command(SwarmCommand):
    """Run a verb and print its answer."""

    help = (
        "Write, check, inspect and keep Blueprints; no run is started. Exit codes: 0 no errors,"
        " 1 the Blueprint has errors, 2 wrong usage or unreadable file."
    )

    verbs = VERBS

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare a subcommand for each verb."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        for name, verb in VERBS.items():
            sub = verbs.add_parser(name, help=verb.HELP, description=verb.HELP)
            verb.add_arguments(sub)
            sub.add_argument(
                "--json", action="store_true", help="print one JSON object"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the verb and print its answer or its error."""
        try:
            answer = answer_to(options)
        finally:
            lua_host().close()
        sys.stderr.write(lines(*answer.notes))
        as_json = options["json"]
        sys.stdout.write(f"{json.dumps(answer.data)}\n" if as_json else answer.text)
        sys.exit(answer.code)


def answer_to(options: dict[str, Any]) -> Answer:
    """Return the answer of a verb, or the answer that reports its error."""
    try:
        return VERBS[options["verb"]].answer(options)
    except BlueprintInvalid as error:
        found = error.diagnostics
        file = str(options.get("file") or options.get("name"))
        count = counted_as(len(found), "error")
        notes = [line for one in found for line in finding_lines(file, one)]
        return refusal(
            "BlueprintInvalid",
            f"{file}: {count}, so nothing was made of it",
            before=notes,
            exit_code=INVALID,
            diagnostics=[one.to_json() for one in found],
        )
    except DocumentInvalid as error:
        return refusal(
            "DocumentInvalid",
            str(error),
            shown="\n".join(unread_lines(error)),
            exit_code=REFUSED,
            file=error.file,
            place=error.place,
            code=error.code,
            diagnostics=[diagnostic_of(error).to_json()],
        )
    except ArgumentRefused as error:
        return refusal("Usage", str(error), exit_code=REFUSED)
    except (BlueprintStoreError, VersionUnknown) as error:
        return refusal(type(error).__name__, str(error), exit_code=REFUSED)
    except DatabaseError as error:
        return refusal("Database", no_database(error), exit_code=REFUSED)


def refusal(
    kind: str,
    text: str,
    *,
    exit_code: int,
    before: Iterable[str] = (),
    shown: str = "",
    **more: Json,
) -> Answer:
    """Return the answer that reports an error.

    `before` are lines above its text; people see `shown` instead of the text, if given.
    """
    error = {"kind": kind, "text": text, **more}
    notes = (*before, shown or text)
    return Answer(exit_code, {"ok": False, "error": error}, notes=notes)
