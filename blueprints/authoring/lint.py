"""`blueprint lint FILE...`: everything worth saying of Blueprints."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from blueprints.authoring.answer import FINE, INVALID, REFUSED, Answer, lines
from blueprints.authoring.findings import counted, finding_lines, summary
from blueprints.authoring.source import (
    add_levels,
    add_source,
    lint_loaded,
    lint_options,
    load,
)
from blueprints.authoring.surroundings import add_surroundings, surroundings
from blueprints.loaders.blueprint import Loaded
from blueprints.loaders.documents import DocumentInvalid
from engine.blueprint import Level, LintOptions, LintReport
from engine.flow.json_text import Json

HELP: Final = (
    "Tell all findings. Exit 0 without errors, 1 with errors (under --strict also with"
    " warnings), 2 where a file can't be read."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the arguments."""
    add_source(parser, many=True)
    add_levels(parser)
    add_surroundings(parser)
    parser.add_argument(
        "--strict", action="store_true", help="warnings count like errors"
    )


@dataclass(frozen=True, slots=True)
class Linted:
    """What came of one file: a report, or why it can't be read."""

    file: str
    loaded: Loaded | None = None
    report: LintReport = field(default_factory=lambda: LintReport(()))
    fault: DocumentInvalid | None = None

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return counted(self.report.diagnostics)[Level.ERROR]

    @property
    def warnings(self) -> int:
        """How many are warnings."""
        return counted(self.report.diagnostics)[Level.WARN]

    def rows(self) -> Iterator[str]:
        """Yields the lines for people."""
        if self.fault is not None and not self.fault.place:
            yield f"{self.fault.file}: error: {self.fault.rule} [{self.fault.kind}]"
            return
        for one in self.report.diagnostics:
            yield from finding_lines(self.file, one)

    def to_json(self) -> dict[str, Json]:
        """Writes the outcome as JSON."""
        return {
            "file": self.file,
            "verdict": None if self.fault else self.report.verdict,
            "diagnostics": [one.to_json() for one in self.report.diagnostics],
            "suppressed": [one.to_json() for one in self.report.suppressed],
            "log": [] if self.loaded is None else list(self.loaded.log),
            "error": None if self.fault is None else self.fault.code,
        }


def answer(options: Mapping[str, Any]) -> Answer:
    """Returns the findings of every file; raises Refused."""
    how = lint_options(options, **surroundings(options))
    done = [_lint(path, options, how) for path in options["files"]]
    errors = sum(one.errors for one in done)
    warnings = sum(one.warnings for one in done)
    code = FINE
    if errors or (warnings and options["strict"]):
        code = INVALID
    unread = sum(one.fault is not None for one in done)
    if unread:
        code = REFUSED
    levels = sum((counted(one.report.diagnostics) for one in done), counted(()))
    allowed = sum(len(one.report.suppressed) for one in done)
    told = summary(errors, warnings, levels[Level.INFO], allowed)
    files = f"{len(done)} file{'s' if len(done) != 1 else ''}"
    more = f", {unread} can't be read" if unread else ""
    log = [line for one in done if one.loaded for line in one.loaded.log]
    return Answer(
        code,
        {
            "ok": code == FINE,
            "errors": errors,
            "warnings": warnings,
            "files": [one.to_json() for one in done],
        },
        lines(*(row for one in done for row in one.rows())),
        (*log, f"{files}: {told}{more}"),
    )


def _lint(path: str, options: Mapping[str, Any], how: LintOptions) -> Linted:
    try:
        loaded = load(path, options)
    except DocumentInvalid as error:
        return Linted(error.file, None, LintReport((error.diagnostic,)), error)
    return Linted(str(loaded.path), loaded, lint_loaded(loaded, how))
