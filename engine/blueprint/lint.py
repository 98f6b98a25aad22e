"""Everything worth saying of a Blueprint: the compiler's errors and the lints."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from engine.blueprint.compiler import find_errors
from engine.blueprint.diagnostics import BlueprintInvalid, Diagnostic, Level
from engine.blueprint.levels import level_of, setting_of
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.lints import TABLE, dsl_warning
from engine.blueprint.reading import read_blueprint
from engine.blueprint.view import LintOptions, View
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a layer allows; `source` is `call-site`, `agent:NAME` or
    `blueprint`."""

    diagnostic: Diagnostic
    source: str

    def to_json(self) -> dict[str, Json]:
        """Writes the finding as JSON, in short."""
        full = self.diagnostic.to_json()
        kept = {key: full[key] for key in ("kind", "span", "message")}
        return {**kept, "source": self.source}


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found, errors of the compiler first, and what was kept back."""

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
    only: LintKind | None = None,
) -> LintReport:
    """Returns all findings of a document, at the levels its layers give them.

    `kinds` None stands for every kind: a document can be linted where it can't run.
    Of the lints, `only` one is asked where it is given.
    """
    try:
        view = read_blueprint(
            document, kinds=kinds, legacy_bindings=legacy_bindings, options=options
        )
    except BlueprintInvalid as error:
        # Nobody can say what its layers allow; what made it had its remarks all the same.
        remarks = (options or LintOptions()).remarks
        said = (dsl_warning.LINT.stamped(one) for one in dsl_warning.told(remarks))
        return LintReport((*error.diagnostics, *said))
    found = list(find_errors(view))
    told = {(one.kind, one.place) for one in found}
    suppressed: list[Suppressed] = []
    for kind in TABLE if only is None else (only,):
        for one in kind.lint_findings(view):
            if (one.kind, one.place) in told:
                continue
            level, source = _weighed(view, kind, one)
            if level is None:
                suppressed.append(Suppressed(one, source))
            else:
                found.append(replace(one, level=level))
    return LintReport(tuple(found), tuple(suppressed))


def _weighed(view: View, kind: LintKind, found: Diagnostic) -> tuple[Level | None, str]:
    setting = setting_of(view, kind.name, kind.category, found.element)
    if setting is None:
        return found.level, ""
    return level_of(setting[0]), setting[1]
