"""What a kind of finding is: its name, weight, group and the check that finds it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from engine.blueprint.diagnostics import Diagnostic, Finding, Level, first_of
from engine.blueprint.view import View

Category: TypeAlias = Literal[
    "correctness", "suspicious", "style", "contract", "migration"
]
Check: TypeAlias = Callable[[View], Iterator[Finding]]
CATEGORIES: Final = ("correctness", "suspicious", "style", "contract", "migration")


def nothing(view: View) -> Iterator[Finding]:
    """Yields nothing."""
    yield from ()


@dataclass(frozen=True, slots=True)
class LintKind:
    """One line of the registry.

    `compile` finds errors, which no layer can allow; `lint` finds what is worth a
    look, with `level` unless a layer says otherwise. A kind may have both. `family`
    names the group of the lint.
    """

    name: str
    category: Category
    level: Level = Level.ERROR
    family: str = ""
    compile: Check = nothing
    lint: Check = nothing

    @property
    def suppressible(self) -> bool:
        """Tells whether a layer has a say: errors of the compiler stay errors."""
        return self.lint is not nothing

    def compile_findings(self, view: View) -> Iterator[Diagnostic]:
        """Yields what the compiler finds."""
        for found in first_of(self.compile(view)):
            yield self._stamped(found, Level.ERROR, "")

    def lint_findings(self, view: View) -> Iterator[Diagnostic]:
        """Yields what the lint finds, at its own level."""
        for found in first_of(self.lint(view)):
            yield self.stamped(found)

    def stamped(self, found: Finding) -> Diagnostic:
        """Returns a finding of the lint as a record."""
        return self._stamped(found, self.level, self.family)

    def _stamped(self, found: Finding, level: Level, family: str) -> Diagnostic:
        return Diagnostic(
            place=found.place,
            kind=self.name,
            message=found.message,
            help=found.help,
            level=found.level or level,
            notes=found.notes,
            suggestion=found.suggestion,
            element=found.element,
            family=family,
        )
