"""Outputs can't be written where the document asks for."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View

ROOTS: Final = ("work_dir", "project_root")
TASK_ID: Final = "{task_id}"


def check(view: View) -> Iterator[Finding]:
    """Yields what is wrong with projection_placement."""
    placement = view.blueprint.projection_placement
    if placement is None:
        return
    place = "$.projection_placement"
    if placement.root is not None and placement.root not in ROOTS:
        message = f"unknown root {placement.root!r}"
        hint = did_you_mean(placement.root, ROOTS)
        yield Finding(f"{place}.root", message, hint, element=ROOT)
    template = placement.dir_template
    if template is None:
        return
    segments = template.replace("\\", "/").split("/")
    if not template.strip():
        message, hint = "the template is empty", "leave it out for the default"
    elif template.startswith(("/", "\\")) or ":" in segments[0]:
        message, hint = "the template is absolute", "name a directory below the root"
    elif ".." in segments:
        message, hint = "the template leaves its root by '..'", "stay below the root"
    elif TASK_ID not in template:
        message = f"the template has no {TASK_ID}"
        hint = "without it, two tasks would write the same files"
    else:
        return
    yield Finding(f"{place}.dir_template", message, hint, element=ROOT)


LINT: Final = LintKind("invalid-projection-placement", "correctness", compile=check)
