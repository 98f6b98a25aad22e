"""`manage.py blueprint VERB FILE`: write, check and look at Blueprints."""

import json
import sys
from typing import Any, Final

from django.core.management.base import CommandParser

from blueprints.authoring import build, doctor, explain, lint, new, schema, upgrade
from blueprints.authoring.answer import INVALID, REFUSED, Answer, lines, refusal
from blueprints.authoring.findings import finding_lines
from blueprints.command_line import SwarmCommand, refuse_unknown_verb
from blueprints.conf import lua_host
from blueprints.loaders.documents import DocumentInvalid
from blueprints.parameters import Refused
from engine.blueprint import BlueprintInvalid

VERBS: Final = {
    "new": new,
    "lint": lint,
    "build": build,
    "upgrade": upgrade,
    "schema": schema,
    "explain": explain,
    "doctor": doctor,
}


class Command(SwarmCommand):
    """Hands over to the verb and tells its answer."""

    help = (
        "Write, check and look at Blueprints. Nothing is run. Exit 0 fine, 1 the"
        " Blueprint has findings that count, 2 usage or unreadable."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Tell the nearest verb of a misspelt one, which the parser does not."""
        refuse_unknown_verb(argv, VERBS)
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare a subcommand each."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        for name, verb in VERBS.items():
            sub = verbs.add_parser(name, help=verb.HELP, description=verb.HELP)
            verb.add_arguments(sub)
            sub.add_argument(
                "--json", action="store_true", help="one JSON object on standard output"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one of them; what goes wrong is told in plain words."""
        try:
            answer = answer_to(options)
        finally:
            lua_host().close()
        sys.stderr.write(lines(*answer.notes))
        sys.exit(tell(answer, as_json=options["json"]))


def tell(answer: Answer, *, as_json: bool) -> int:
    """Print an answer; the exit code."""
    sys.stdout.write(f"{json.dumps(answer.data)}\n" if as_json else answer.text)
    return answer.code


def answer_to(options: dict[str, Any]) -> Answer:
    """Return what a verb answers, or why it can't."""
    try:
        return VERBS[options["verb"]].answer(options)
    except BlueprintInvalid as error:
        found = error.diagnostics
        file = str(options["file"])
        count = f"{len(found)} error{'s' if len(found) != 1 else ''}"
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
            exit_code=REFUSED,
            file=error.file,
            place=error.place,
            code=error.code,
            diagnostics=[error.diagnostic.to_json()],
        )
    except Refused as error:
        return refusal("Usage", str(error), exit_code=REFUSED)
