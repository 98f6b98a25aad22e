"""An agent's runner can't be resolved, or a named runner leads nowhere."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import default_runner_fault
from engine.blueprint.diagnostics import ROOT, Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.subprocess_spec import SubprocessRunner
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each failure of the runner cascade, and of runners nobody uses so far."""
    for one in view.bound:
        if one.fault is not None:
            yield one.fault
    fault = default_runner_fault(view.blueprint)
    if fault is not None:
        yield fault
    templates = {one.name for one in view.blueprint.subprocesses}
    for number, row in enumerate(view.blueprint.runners):
        runner = row.runner
        if isinstance(runner, SubprocessRunner) and runner.template not in templates:
            yield Finding(
                f"$.runners[{number}].runner.template",
                f"no template is named {runner.template!r}",
                did_you_mean(runner.template, templates) or "add it to $.subprocesses",
                element=ROOT,
            )


LINT: Final = LintKind("bound-agent-resolution", "correctness", compile=check)
