"""The Lua DSL had a remark on the script that made the document."""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each remark."""
    yield from told(view.options.remarks)


def told(remarks: Iterable[str]) -> Iterator[Finding]:
    """Yields a finding for each remark, which names the script's line if it has one."""
    for remark in remarks:
        yield Finding("$", remark, element=ROOT)


LINT: Final = LintKind("dsl-warning", "suspicious", Level.WARN, "DslLint", lint=check)
