"""An agent's spec is not what its kind needs."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding
from engine.blueprint.kinds import check_spec
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each fault of a spec; agents that can't run here are left alone."""
    for one in view.kept:
        yield from check_spec(one)


LINT: Final = LintKind("invalid-agent-spec", "correctness", compile=check)
