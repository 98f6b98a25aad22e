"""`manage.py run FILE`: one run of a Blueprint, from the file to its result."""

import sys
from argparse import ArgumentTypeError
from copy import deepcopy
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandParser

from blueprints.authoring.findings import finding_lines
from blueprints.command_line import SwarmCommand
from blueprints.conf import lua_host
from blueprints.loaders.blueprint import Loaded, load_blueprint
from blueprints.loaders.documents import DocumentInvalid
from blueprints.models import Run
from blueprints.parameters import Refused, check_utf8, read_ctx
from blueprints.preflight import NO_PROGRAM, compile_here, in_vain, missing_parts
from engine.blueprint import BlueprintInvalid, Program
from engine.flow import JsonSyntaxError, JsonTextError, load_json
from engine.ids import new_id
from engine.store.redis import RedisStore
from engine.visible import visible
from workers.fleets import SetupFailed, queues_of
from workers.launching import LaunchRefused, launch
from workers.session import Session

MAX_CONCURRENCY: Final = 256


def positive_seconds(text: str) -> float:
    """Read a number of seconds greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # Written so that NaN is refused too.
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected seconds greater than 0, got {text!r}")
    return value


def process_count_or_none(text: str) -> int:
    """Read a number of worker processes, or 0 for workers that others start."""
    return process_count(text, least=0)


def process_count(text: str, least: int = 1) -> int:
    """Read a number of worker processes."""
    # Digits first: int() takes more spellings than a person would mean.
    digits = text.isascii() and text.isdecimal() and len(text) <= 9
    if not digits or not least <= int(text) <= MAX_CONCURRENCY:
        raise ArgumentTypeError(
            f"expected a whole number from {least} to {MAX_CONCURRENCY}, got {text!r}"
        )
    return int(text)


def add_session_arguments(parser: CommandParser) -> None:
    """Add what every command that follows a run takes."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on standard output"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave server and workers up"
    )
    parser.add_argument(
        "--concurrency",
        type=process_count_or_none,
        default=2,
        metavar="N",
        help="worker processes (2); 0 leaves the work to workers started elsewhere",
    )


class Command(SwarmCommand):
    """Runs a Blueprint durably and shows its progress."""

    help = (
        "Run a Blueprint (JSON, YAML or Lua) to its end: starts server and workers, shows"
        " progress, prints the final Ctx. Exit 0 done, 1 failed, 2 refused, 3 timed"
        " out, 130 interrupted (`runs resume` carries it on)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", metavar="FILE")
        parser.add_argument(
            "--ctx",
            metavar="JSON|@FILE",
            help="initial Ctx, over the Blueprint's own; a script gets it as _CTX",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="a.b=VALUE",
            dest="sets",
            help="one value of the initial Ctx: JSON, or text if it is none",
        )
        parser.add_argument(
            "--timeout",
            type=positive_seconds,
            metavar="S",
            help="the run's deadline in seconds",
        )
        parser.add_argument(
            "--include",
            action="append",
            default=[],
            metavar="DIR",
            dest="includes",
            help="a folder searched for files that the Blueprint names",
        )
        add_session_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Compile first, so that nothing is started for a broken Blueprint."""
        session = Session(
            out=sys.stdout,
            err=sys.stderr,
            as_json=options["json"],
            keep=options["keep"],
            concurrency=options["concurrency"],
        )
        path = options["file"]
        try:
            given = None if options["ctx"] is None else read_ctx(options["ctx"])
            loaded = load_blueprint(path, includes=options["includes"], params=given)
            tell_script(session, loaded)
            program = compile_here(loaded.document)
            look_for_parts(session, program, loaded.document)
            ctx = with_sets(program, given, options["sets"])
            tell_in_vain(session, loaded)
            session.err.writelines(undeclared(program, options["sets"]))
        except BlueprintInvalid as error:
            error = BlueprintInvalid(loaded.hinted(error.diagnostics))
            sys.exit(refuse_blueprint(session, path, error))
        except (DocumentInvalid, Refused) as error:
            sys.exit(session.refuse("Usage", str(error)))
        finally:
            # A script's sandbox is not for the workers that are started now.
            lua_host().close()
        run_id = new_id("R")
        begin = partial(
            begin_run,
            run_id=run_id,
            program=program,
            ctx=ctx,
            title=visible(Path(path).name)[:200],
            deadline_s=options["timeout"],
        )
        sys.exit(session.drive("run", queues_of(program), begin, run_id=run_id))


def begin_run(store: RedisStore, **what: Any) -> Run:
    """Launch; SetupFailed when that is refused."""
    try:
        return launch(store, **what)
    except (LaunchRefused, ValueError) as error:
        raise SetupFailed(f"the run was not started: {error}") from None


def tell_script(session: Session, loaded: Loaded) -> None:
    """Tell what a script printed and what the DSL warns of."""
    session.err.writelines(f"{line}\n" for line in loaded.said)


def tell_in_vain(session: Session, loaded: Loaded) -> None:
    """Tell what of the Blueprint has no effect yet."""
    for found in loaded.hinted(in_vain(loaded.document)):
        session.err.writelines(
            f"{line}\n" for line in finding_lines(str(loaded.path), found)
        )


def look_for_parts(session: Session, program: Program, document: Any = None) -> None:
    """Look for all that a program needs here; BlueprintInvalid where something lacks.

    Programs are the business of workers: where those are started elsewhere, it is told.
    """
    missing = missing_parts(program, document)
    if not session.concurrency:
        elsewhere = [found for found in missing if found.kind == NO_PROGRAM]
        session.err.writelines(
            f"{found}; do the workers have it?\n" for found in elsewhere
        )
        missing = [found for found in missing if found.kind != NO_PROGRAM]
    if missing:
        raise BlueprintInvalid(missing)


def refuse_blueprint(session: Session, what: str, error: BlueprintInvalid) -> int:
    """Tell every finding with its place; the exit code."""
    count = len(error.diagnostics)
    lines = [f"{what} can't run; {count} finding{'s' if count > 1 else ''}:"]
    lines += [f"  {found}" for found in error.diagnostics]
    lines.append("nothing was started")
    found = [diagnostic.to_json() for diagnostic in error.diagnostics]
    return session.refuse("BlueprintInvalid", "\n".join(lines), diagnostics=found)


def initial_ctx(program: Program, given: str | None, sets: list[str]) -> Any:
    """Return the launcher's tier of the Ctx: --ctx, then each --set."""
    return with_sets(program, None if given is None else read_ctx(given), sets)


def with_sets(program: Program, ctx: Any, sets: list[str]) -> Any:
    """Return the Ctx that --ctx gave, with each --set in it."""
    if not sets:
        return ctx
    ctx = {} if ctx is None else ctx
    default = program.default_init_ctx
    for text in sets:
        check_utf8("--set", text)
        path, mark, value = text.partition("=")
        keys = path.removeprefix("$.").split(".")
        if not mark or not all(keys):
            raise Refused(f"--set {text!r}: expected a.b=VALUE")
        if not isinstance(ctx, dict):
            raise Refused("--set needs a --ctx that is an object")
        if isinstance(default, dict) and keys[0] in default and len(keys) > 1:
            # Tiers are merged by top-level key only, so its neighbours come along.
            ctx.setdefault(keys[0], deepcopy(default[keys[0]]))
        _write(ctx, keys, _value(value, text), text)
    return ctx


def undeclared(program: Program, sets: list[str]) -> list[str]:
    """Return a line for each --set of a key that default_init_ctx does not have.

    It is taken all the same; without a default_init_ctx there is nothing to hold it to.
    """
    default = program.default_init_ctx
    if not default or not isinstance(default, dict):
        return []
    lines = []
    for text in sets:
        key = text.partition("=")[0].removeprefix("$.").partition(".")[0]
        if key not in default:
            near = get_close_matches(key, default, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            lines.append(f"--set {key}: default_init_ctx has no such key{hint}\n")
    return lines


def _write(ctx: dict[str, Any], keys: list[str], value: Any, text: str) -> None:
    at = ctx
    for number, key in enumerate(keys[:-1]):
        below = at.setdefault(key, {})
        if not isinstance(below, dict):
            where = ".".join(keys[: number + 1])
            raise Refused(f"--set {text!r}: {where} is not an object")
        at = below
    at[keys[-1]] = value


def _value(text: str, given: str) -> Any:
    try:
        return load_json(text)
    except JsonSyntaxError:
        return text
    except JsonTextError as error:
        # It was meant as JSON and breaks a rule of it: no text that somebody wants.
        name = given.partition("=")[0]
        raise Refused(
            f"--set {name}: {error}; a text stands in double quotes"
        ) from None
