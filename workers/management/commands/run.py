"""`manage.py run FILE|NAME`: run a Blueprint and print its result."""

import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any, Final

from django.core.management.base import CommandParser

from blueprints.authoring.answer import finding_lines
from blueprints.authoring.kept import refuse_unlaunchable
from blueprints.authoring.source import add_source, given_ctx, lint_loaded, load
from blueprints.command_line import SwarmCommand, positive_seconds, typed
from blueprints.conf import lua_host
from blueprints.loaders.blueprint import Loaded
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.origin import origin_of
from blueprints.parameters import ArgumentRefused, apply_sets, undeclared_keys
from blueprints.preflight import compile_here
from blueprints.services.runs import Launch
from engine.blueprint import BlueprintInvalid, Level, LintOptions, Program
from engine.visible import visible
from workers.terminal.session import Session, add_session_arguments

NOT_YET: Final = "not-in-effect-yet"
"""The lint whose findings have one line together."""


class Command(SwarmCommand):
    """Run a Blueprint durably and show its progress."""

    help = (
        "Run a Blueprint (JSON, YAML or Lua) to its end: start server and workers, show"
        " progress, print the final Ctx. Exit codes: 0 done, 1 failed (or its final Ctx is"
        " too large to be shown), 2 refused, 3 timed"
        " out, 130 interrupted (continue with `runs resume`)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        add_source(
            parser,
            ctx="initial Ctx, merged over the Blueprint's; a script gets it as _CTX",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="a.b=VALUE",
            dest="sets",
            help="one value of the initial Ctx: JSON, or else text",
        )
        parser.add_argument(
            "--timeout",
            type=positive_seconds,
            metavar="S",
            help="the run's deadline in seconds",
        )
        add_session_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Compile and check the Blueprint first, so that a broken one starts nothing."""
        session, path = Session(options), options["file"]
        reporter = session.reporter
        try:
            given, loaded = given_ctx(options), load(path, options)
            version = refuse_unlaunchable(loaded)
            program = compile_here(loaded.document)
            session.require_parts(program, loaded.document)
            reporter.err.print(*loaded.log)
            ctx = apply_sets(program, given, options["sets"])
            if not options["quiet"]:
                reporter.err.print(*_warnings(loaded, ctx, program))
            reporter.err.print(*undeclared_keys(program, options["sets"]))
            origin = None if version else origin_of(loaded)
        except BlueprintInvalid as error:
            reporter.err.print(*loaded.script_lines)
            found = loaded.placed(error.diagnostics)
            sys.exit(reporter.refuse_blueprint(path, found))
        except DocumentInvalid as error:
            sys.exit(reporter.refuse_file(error))
        except ArgumentRefused as error:
            sys.exit(reporter.refuse("Usage", str(error)))
        finally:
            # Workers start their own sandboxes.
            lua_host().close()
        title = visible(Path(path).name)[:200]
        seconds = options["timeout"]
        launch = Launch(program, ctx, title, seconds, version=version, origin=origin)
        sys.exit(session.drive(launch))


def _warnings(loaded: Loaded, ctx: Any, program: Program) -> Iterator[str]:
    """Yield the lines of `blueprint lint` about a Blueprint that can run, without notes.

    The lints that concern what a launch gives get the run's initial Ctx, and those that
    concern agents' code have it here.
    """
    launch = ctx if isinstance(ctx, dict) else None
    options = LintOptions(launch=launch)
    found = lint_loaded(loaded, options, program).diagnostics
    warned = [one for one in found if one.level is not Level.INFO]
    idle = [one for one in warned if one.kind == NOT_YET]
    for one in warned:
        if one.kind != NOT_YET:
            yield from finding_lines(str(loaded.path), one)
    if idle:
        # Each run says it again, and its author knows it from the first one.
        parts = "1 part has" if len(idle) == 1 else f"{len(idle)} parts have"
        lint = typed(f"blueprint lint {quote(str(loaded.path))}")
        yield f"{loaded.path}: warning: {parts} no effect yet; see: {lint} [{NOT_YET}]"
