"""`manage.py eval EXPR`: show the value of an expression of the dialect swarm."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import CommandParser

from blueprints.command_line import FAILED, REFUSED, SwarmCommand
from blueprints.parameters import ArgumentRefused, check_utf8, read_ctx
from engine.flow import FlowError, evaluate_expr, parse_expr


class Command(SwarmCommand):
    """Evaluate an expression on a Ctx."""

    help = (
        "Show the value of an expression of the dialect swarm, as JSON. Exit codes:"
        " 0 there is a value, 1 the expression fails, 2 it can't be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("expr", metavar="EXPR", help="for example '$.n + 1'")
        parser.add_argument(
            "--ctx",
            metavar="JSON|FILE",
            default="{}",
            help="the Ctx that the expression reads ({})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the value, or the error."""
        text, given = options["expr"], options["ctx"]
        try:
            check_utf8("EXPR", text)
            ctx = read_ctx(f"@{given}" if Path(given).is_file() else given)
            expr = parse_expr(text, "swarm")
        except ArgumentRefused as error:
            self._end(str(error), REFUSED)
        except FlowError as error:
            lines = [str(error).removeprefix("parse error at $: ")]
            if error.offset is not None and text.isprintable():
                lines += [text, " " * error.offset + "^"]
            self._end("\n".join(lines), REFUSED)
        try:
            value = evaluate_expr(expr, ctx)
        except FlowError as error:
            self._end(str(error), FAILED)
        sys.stdout.write(f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")

    def _end(self, text: str, code: int) -> NoReturn:
        sys.stderr.write(f"{text}\n")
        sys.exit(code)
