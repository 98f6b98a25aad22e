"""The kinds of findings, and the decorator that makes a check a lint."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from engine.blueprint.analysis.view import FlowHasFaults, View
from engine.blueprint.findings.diagnostics import Diagnostic, Finding, Level, first_of

Category: TypeAlias = Literal[
    "correctness", "suspicious", "style", "contract", "migration"
]
Check: TypeAlias = Callable[[View], Iterator[Finding]]
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
# Whether all findings are errors of the compiler; None if the level of each decides.
ErrorIf: TypeAlias = Callable[[View], bool | None]


def never(_: View) -> bool:
    """Return False: a layer may allow every finding."""
    return False


def by_level(_: View) -> None:
    """Return None: findings at the level Error are errors of the compiler."""


@dataclass(frozen=True, slots=True)
class LintKind:
    """A kind of finding.

    With a `family` it is a lint: a layer may change its level, except for findings that
    `error_if` makes errors of the compiler. Without a family it is always such an error.
    """

    name: str
    category: Category
    level: Level = Level.ERROR
    family: str = ""
    error_if: ErrorIf = never
    check: Check | None = None

    @property
    def suppressible(self) -> bool:
        """Whether a layer can allow findings of this kind."""
        return bool(self.family)

    def find(self, view: View, *, of_compiler: bool) -> Iterator[Diagnostic]:
        """Yield the errors of the compiler, or the findings that a layer can allow."""
        all_are = self.error_if(view) if self.family else True
        # A check may be expensive: run it only if its findings can be of use.
        if self.check is None or all_are is (not of_compiler):
            return
        try:
            wanted = (
                one
                for one in self.check(view)
                if all_are is not None or (one.level is Level.ERROR) is of_compiler
            )
            for found in first_of(wanted):
                place, offset = view.places.find(found.place)
                found = replace(found, place=place, offset=offset)
                yield self.record(found, of_compiler=of_compiler)
        except FlowHasFaults:
            # The faults of the flow are reported; this check has to wait for them.
            return

    def record(self, found: Finding, *, of_compiler: bool = False) -> Diagnostic:
        """Return a finding as a record of this kind."""
        return Diagnostic(
            place=found.place,
            offset=found.offset,
            kind=self.name,
            message=found.message,
            help=found.help,
            level=found.level or (Level.ERROR if of_compiler else self.level),
            notes=found.notes,
            suggestion=found.suggestion,
            element=found.element,
            family="" if of_compiler else self.family,
        )


def lint(
    category: Category,
    level: Level = Level.ERROR,
    family: str = "",
    *,
    error_if: ErrorIf = never,
) -> Callable[[Check], LintKind]:
    """Return a decorator that makes a check the lint of the same name.

    The docstring of the check is the section of the lint in docs/lints.md.
    """
    return lambda check: LintKind(
        check.__name__.replace("_", "-"), category, level, family, error_if, check
    )
