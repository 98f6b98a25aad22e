"""Outputs can't be written where the document asks for."""

import re
from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import ROOT, Element, Finding, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.placeholders import placeholders_in
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View
from engine.flow import dump_compact

ROOTS: Final = ("work_dir", "project_root")
TASK_ID: Final = "task_id"
_SEPARATORS: Final = re.compile(r"[/\\]")
_NO_NAMES: Final = ("", ".", "..")


def check(view: View) -> Iterator[Finding]:
    """Yields what is wrong with projection_placement and the names of the files."""
    yield from _check_placement(view)
    yield from _check_projection_names(view)
    if view.blueprint.projection_placement is not None:
        yield from _check_step_names(view)


def _check_placement(view: View) -> Iterator[Finding]:
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
    wanted = placeholders_in(template)
    unknown = next((name for name in wanted if name != TASK_ID), None)
    segments = template.replace("\\", "/").split("/")
    if not template.strip():
        message, hint = "the template is empty", "leave it out for the default"
    elif template.startswith(("/", "\\")) or ":" in segments[0]:
        message, hint = "the template is absolute", "name a directory below the root"
    elif ".." in segments:
        message, hint = "the template leaves its root by '..'", "stay below the root"
    elif unknown is not None:
        message = f"unknown placeholder {{{unknown}}}"
        hint = f"only {{{TASK_ID}}} is filled in; write {{{{{unknown}}}}} for the text"
        if did_you_mean(unknown, [TASK_ID]).startswith("did"):
            hint = f"did you mean {{{TASK_ID}}}?"
    elif not wanted:
        message = f"the template has no {{{TASK_ID}}}"
        hint = "without it, two tasks would write the same files"
    else:
        return
    yield Finding(f"{place}.dir_template", message, hint, element=ROOT)


def _check_projection_names(view: View) -> Iterator[Finding]:
    """Yields each public name that is none of a file."""
    blueprint = view.blueprint
    for key, rows in (
        ("agents", [(one.name, one.meta) for one in blueprint.agents]),
        ("operators", [(one.name, one.meta) for one in blueprint.operators]),
    ):
        for number, (name, meta) in enumerate(rows):
            wanted = None if meta is None else meta.projection_name
            if wanted is not None and not _is_file_name(wanted):
                place = f"$.{key}[{number}].meta.projection_name"
                element = Element("Agent" if key == "agents" else "Operator", name)
                yield _no_file(place, "projection_name", wanted, element)


def _check_step_names(view: View) -> Iterator[Finding]:
    """Yields each step whose output's file would have its ref for a name, and can't."""
    told = set()
    for spot in view.steps:
        ref = spot.node["ref"]
        if ref in view.projection_names or ref in told or _is_file_name(ref):
            continue
        told.add(ref)
        one = view.agents.get(ref)
        place = f"{spot.place}.ref" if one is None else f"{one.place}.name"
        element = Element("Step", ref) if one is None else one.element
        yield _no_file(place, "the name", ref, element)


def _is_file_name(name: str) -> bool:
    return name not in _NO_NAMES and _SEPARATORS.search(name) is None


def _no_file(place: str, what: str, name: str, element: Element) -> Finding:
    parts = [part for part in _SEPARATORS.split(name) if part not in _NO_NAMES]
    near = "-".join(parts) or "output"
    message = f"{what} {name!r} can't be that of a file"
    hint = f"no '/', no '\\', not '.' or '..'; did you mean {near!r}?"
    if what == "the name":
        hint = f"give it a meta.projection_name, {near!r} perhaps"
    patch = Suggestion("a name of a file", dump_compact(near))
    return Finding(place, message, hint, suggestion=patch, element=element)


LINT: Final = LintKind("invalid-projection-placement", "correctness", compile=check)
