"""The Lua DSL had a remark on the script that made the document."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each remark; it names the line of the script where there is one."""
    for remark in view.options.remarks:
        yield Finding("$", remark, element=ROOT)


LINT: Final = LintKind("dsl-warning", "suspicious", Level.WARN, "DslLint", lint=check)
