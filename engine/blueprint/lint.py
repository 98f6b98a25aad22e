"""Every finding about a Blueprint: the compiler's errors and the lints."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from engine.blueprint.analysis.view import LintOptions, View
from engine.blueprint.compiler import find_errors
from engine.blueprint.findings.diagnostics import BlueprintInvalid, Diagnostic, Level
from engine.blueprint.lints import TABLE
from engine.blueprint.lints.dialect import dsl_warning, dsl_warning_findings
from engine.blueprint.lints.levels import SETTINGS, setting_of
from engine.blueprint.reading import read_blueprint
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a layer allows.

    `source` is `call-site`, `agent:NAME` or `blueprint`.
    """

    diagnostic: Diagnostic
    source: str

    def to_json(self) -> dict[str, Json]:
        """Write the finding as JSON, in short."""
        full = self.diagnostic.to_json()
        kept = {key: full[key] for key in ("kind", "span", "message")}
        return {**kept, "source": self.source}


@dataclass(frozen=True, slots=True)
class LintReport:
    """The findings, errors of the compiler first, and the findings that a layer allows."""

    diagnostics: tuple[Diagnostic, ...]
    suppressed: tuple[Suppressed, ...] = ()

    @property
    def verdict(self) -> Literal["OK", "WARN", "BLOCK"]:
        """BLOCK if there is an error, WARN if there is a warning, else OK."""
        levels = {found.level for found in self.diagnostics}
        if Level.ERROR in levels:
            return "BLOCK"
        return "WARN" if Level.WARN in levels else "OK"


def lint_blueprint(
    document: Json,
    *,
    kinds: Iterable[str] | None = None,
    legacy_bindings: bool = True,
    options: LintOptions | None = None,
) -> LintReport:
    """Return all findings of a document, at the levels its layers give them.

    `kinds` None stands for every kind: a document can be linted where it can't run.
    """
    try:
        view = read_blueprint(
            document, kinds=kinds, legacy_bindings=legacy_bindings, options=options
        )
    except BlueprintInvalid as error:
        # The layers of an invalid document are unknown, but not the warnings of the DSL.
        warned = dsl_warning_findings((options or LintOptions()).dsl_warnings)
        return LintReport((*error.diagnostics, *map(dsl_warning.record, warned)))
    return lint_view(view)


def lint_view(view: View) -> LintReport:
    """Return all findings of a document that has been read."""
    found = list(find_errors(view))
    suppressed: list[Suppressed] = []
    for kind in TABLE:
        for one in kind.find(view, of_compiler=False):
            setting = setting_of(view, kind.name, kind.category, one.element)
            level = one.level if setting is None else SETTINGS[setting[0]]
            if level is not None:
                found.append(replace(one, level=level))
            elif setting is not None:
                suppressed.append(Suppressed(one, setting[1]))
    return LintReport(tuple(found), tuple(suppressed))
