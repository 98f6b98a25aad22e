"""The arguments for a Blueprint's file and lints, and the functions that use them."""

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.conf import settings

from blueprints.authoring.kept import is_kept, load_kept
from blueprints.loaders.blueprint import Loaded, load_blueprint
from blueprints.parameters import ArgumentRefused, read_ctx
from blueprints.preflight import compile_here, known_kinds, legacy_bindings, signatures
from engine.blueprint import (
    BlueprintInvalid,
    LintOptions,
    LintReport,
    Program,
    lint_blueprint,
)
from engine.blueprint.lints.levels import SETTINGS
from engine.flow.json_text import Json

CTX: Final = "the Ctx of a possible launch; a script gets it as _CTX"


def add_source(parser: ArgumentParser, *, many: bool = False, ctx: str = CTX) -> None:
    """Declare FILE (or FILE...) and the arguments of loading it; `ctx` describes --ctx."""
    parser.add_argument(
        "files" if many else "file",
        metavar="FILE",
        nargs="+" if many else None,
        help="a .json, .yaml, .bp.lua or .py file, a folder with one blueprint.* file, or"
        " NAME[@VERSION] of a Blueprint that is kept",
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="DIR",
        dest="includes",
        help="a folder searched for files that the Blueprint names",
    )
    parser.add_argument("--ctx", metavar="JSON|@FILE", help=ctx)


def add_levels(parser: ArgumentParser) -> None:
    """Declare the caller's layer of lint levels."""
    for setting in SETTINGS:
        parser.add_argument(
            f"--{setting}",
            action="append",
            default=[],
            metavar="KIND",
            help=f"{setting} a kind of finding, category:NAME or all",
        )


def given_ctx(options: Mapping[str, Any]) -> Json:
    """Return the value of --ctx, None without it; raises ArgumentRefused."""
    return None if options["ctx"] is None else read_ctx(options["ctx"])


def load(path: str, options: Mapping[str, Any]) -> Loaded:
    """Return the complete document of a file, or of a Blueprint that is kept.

    Raises DocumentInvalid or ArgumentRefused.
    """
    if is_kept(path):
        return load_kept(path)
    return load_blueprint(path, includes=options["includes"], params=given_ctx(options))


def lint_options(options: Mapping[str, Any], **known: Any) -> LintOptions:
    """Return the options with the caller's layer and Ctx; raises ArgumentRefused."""
    layer: dict[str, str] = {}
    for setting in SETTINGS:
        for kind in options.get(setting, ()):
            if layer.setdefault(kind, setting) != setting:
                raise ArgumentRefused(
                    f"--{layer[kind]} and --{setting} both name {kind!r}"
                )
    ctx = given_ctx(options)
    launch = ctx if isinstance(ctx, dict) else None
    return LintOptions(lints=layer, launch=launch, **known)


def lint_loaded(
    loaded: Loaded, options: LintOptions, program: Program | None = None
) -> LintReport:
    """Return all findings of a Blueprint, with the warnings of the Lua DSL.

    A result is too large if this installation could not show it. With a program, the
    code of its agents is loaded: what it takes and gives is compared with the flow.
    """
    options = replace(
        options,
        dsl_warnings=loaded.warnings,
        result_bytes=settings.SWARM_INPUT_LIMIT,
        signatures={} if program is None else signatures(program),
    )
    report = lint_blueprint(
        loaded.document,
        kinds=known_kinds(),
        legacy_bindings=legacy_bindings(),
        options=options,
    )
    return replace(report, diagnostics=loaded.placed(report.diagnostics))


def compile_loaded(loaded: Loaded) -> Program:
    """Return the program, also if it can't run here; raises BlueprintInvalid."""
    try:
        return compile_here(loaded.document, anywhere=True)
    except BlueprintInvalid as error:
        raise BlueprintInvalid(loaded.placed(error.diagnostics)) from None
