"""The arguments that name a Blueprint and how it is linted, and the reading of both."""

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from blueprints.loaders.blueprint import Loaded, load_blueprint
from blueprints.parameters import Refused, read_ctx
from blueprints.preflight import compile_here, known_kinds, legacy_bindings
from engine.blueprint import (
    BlueprintInvalid,
    LintOptions,
    LintReport,
    Program,
    lint_blueprint,
)
from engine.flow.json_text import Json

SETTINGS: Final = ("allow", "warn", "deny")


def add_source(parser: ArgumentParser, *, many: bool = False) -> None:
    """Declares FILE (or FILE...) and what loading it takes."""
    parser.add_argument(
        "files" if many else "file",
        metavar="FILE",
        nargs="+" if many else None,
        help="a .json, .yaml or .bp.lua file, or a folder with one blueprint.* file",
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="DIR",
        dest="includes",
        help="a folder searched for files that the Blueprint names",
    )
    parser.add_argument(
        "--ctx",
        metavar="JSON|@FILE",
        help="the Ctx of a launch to be tried out; a script gets it as _CTX",
    )


def add_levels(parser: ArgumentParser) -> None:
    """Declares the caller's layer of lint levels."""
    for setting in SETTINGS:
        parser.add_argument(
            f"--{setting}",
            action="append",
            default=[],
            metavar="KIND",
            help=f"{setting} a kind of finding, category:NAME or all",
        )


def given_ctx(options: Mapping[str, Any]) -> Json:
    """Returns what --ctx gives, None without it; raises Refused."""
    return None if options["ctx"] is None else read_ctx(options["ctx"])


def load(path: str, options: Mapping[str, Any]) -> Loaded:
    """Returns the complete document; raises DocumentInvalid or Refused."""
    return load_blueprint(path, includes=options["includes"], params=given_ctx(options))


def lint_options(options: Mapping[str, Any], **known: Any) -> LintOptions:
    """Returns the caller's layer, the launch to be tried out and what else is known.

    Raises Refused.
    """
    layer: dict[str, str] = {}
    for setting in SETTINGS:
        for kind in options.get(setting, ()):
            if layer.setdefault(kind, setting) != setting:
                raise Refused(f"--{layer[kind]} and --{setting} both name {kind!r}")
    ctx = given_ctx(options)
    launch = ctx if isinstance(ctx, dict) else None
    return LintOptions(lints=layer, launch=launch, **known)


def lint_loaded(loaded: Loaded, options: LintOptions) -> LintReport:
    """Returns all findings, the DSL's remarks among them, wherever it is to run."""
    options = replace(options, remarks=loaded.warnings)
    report = lint_blueprint(
        loaded.document,
        kinds=known_kinds(),
        legacy_bindings=legacy_bindings(),
        options=options,
    )
    return replace(report, diagnostics=loaded.hinted(report.diagnostics))


def compile_loaded(loaded: Loaded) -> Program:
    """Returns the program, wherever it is to run; raises BlueprintInvalid."""
    try:
        return compile_here(loaded.document, anywhere=True)
    except BlueprintInvalid as error:
        raise BlueprintInvalid(loaded.hinted(error.diagnostics)) from None
