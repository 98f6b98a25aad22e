"""Projection: the files of the outputs of steps, and the agents that can write them."""

import re
from collections.abc import Iterator
from typing import Final

from engine.blueprint.analysis.flow_walk import Spot
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import (
    ROOT,
    Element,
    Finding,
    Level,
    Suggestion,
)
from engine.blueprint.kinds.rules import BoundAgent
from engine.blueprint.lints.lint_kind import lint
from engine.blueprint.lints.names import metas_in
from engine.blueprint.program import merge_init_ctx
from engine.blueprint.schema.placeholders import placeholders_in
from engine.flow import dump_compact
from engine.flow.spelling import did_you_mean, near

ROOTS: Final = ("work_dir", "project_root")
TASK_ID: Final = "task_id"
_SEPARATORS: Final = re.compile(r"[/\\]")
_NO_NAMES: Final = ("", ".", "..")


@lint("correctness")
def invalid_projection_placement(view: View) -> Iterator[Finding]:
    """`projection_placement` or the name of an output's file is invalid.

    That is an unknown `root`, or a `dir_template` that is empty, absolute, leaves its
    root, has no `{task_id}` or another placeholder. A step's output is the file
    `NAME.md`, so a `projection_name` has no `/` and no `\\` and is not `.` or `..`; with
    a `projection_placement` the same goes for the names of agents that steps use and
    that have no `projection_name`. Outputs would land outside of their folder, or tasks
    would overwrite each other's.
    """
    placement = view.blueprint.projection_placement
    if placement is not None:
        place, root = "$.projection_placement", placement.root
        if root is not None and root not in ROOTS:
            hint = did_you_mean(root, ROOTS)
            yield Finding(f"{place}.root", f"unknown root {root!r}", hint, element=ROOT)
        for message, hint in _template_faults(placement.dir_template):
            yield Finding(f"{place}.dir_template", message, hint, element=ROOT)
    for place, element, meta in metas_in(view.blueprint):
        name = meta.projection_name
        if name is not None and not _is_file_name(name):
            place = f"{place}.projection_name"
            near = _near_file_name(name)
            hint = f"no '/', no '\\', not '.' or '..'; did you mean {near!r}?"
            yield _no_file(place, "projection_name", name, hint, element)
    if placement is not None:
        yield from _check_step_names(view)


def _template_faults(template: str | None) -> Iterator[tuple[str, str]]:
    if template is None:
        return
    wanted = placeholders_in(template)
    unknown = next((name for name in wanted if name != TASK_ID), None)
    segments = template.replace("\\", "/").split("/")
    if not template.strip():
        yield "the template is empty", "leave it out for the default"
    elif template.startswith(("/", "\\")) or ":" in segments[0]:
        yield "the template is absolute", "name a directory below the root"
    elif ".." in segments:
        yield "the template leaves its root by '..'", "stay below the root"
    elif unknown is not None:
        hint = f"only {{{TASK_ID}}} is filled in; write {{{{{unknown}}}}} for the text"
        if near(unknown, [TASK_ID]):
            hint = f"did you mean {{{TASK_ID}}}?"
        yield f"unknown placeholder {{{unknown}}}", hint
    elif not wanted:
        hint = "without it, two tasks would write the same files"
        yield f"the template has no {{{TASK_ID}}}", hint


def _check_step_names(view: View) -> Iterator[Finding]:
    """Yield a finding for each step whose ref can't be the name of a file."""
    first: dict[str, Spot] = {}
    for spot in view.steps:
        first.setdefault(spot.node["ref"], spot)
    for ref, spot in first.items():
        if ref not in view.projection_names and not _is_file_name(ref):
            one = view.agents.get(ref)
            place = f"{spot.place}.ref" if one is None else f"{one.place}.name"
            element = Element("Step", ref) if one is None else one.element
            hint = f"give it a meta.projection_name, {_near_file_name(ref)!r} perhaps"
            yield _no_file(place, "the name", ref, hint, element)


def _is_file_name(name: str) -> bool:
    return name not in _NO_NAMES and _SEPARATORS.search(name) is None


def _near_file_name(name: str) -> str:
    parts = [part for part in _SEPARATORS.split(name) if part not in _NO_NAMES]
    return "-".join(parts) or "output"


def _no_file(place: str, what: str, name: str, hint: str, element: Element) -> Finding:
    patch = Suggestion("a name of a file", dump_compact(_near_file_name(name)))
    message = f"{what} {name!r} can't be that of a file"
    return Finding(place, message, hint, suggestion=patch, element=element)


@lint("suspicious", Level.WARN, "ContextPolicyLint")
def context_policy_strips_projection_roots(view: View) -> Iterator[Finding]:
    """The context policy of an agent hides both `project_root` and `work_dir`.

    The agent sees no directory to write a file to.
    """
    for one in view.runnable:
        if any(_sees(one, field) for field in ROOTS):
            continue
        meta = one.agent.meta
        own = meta is not None and meta.context_policy is not None
        yield Finding(
            f"{one.place}.meta.context_policy" if own else "$.default_context_policy",
            f"{one.agent.name!r} sees neither project_root nor work_dir",
            "leave one of them visible, or allow this lint for the agent",
            element=one.element,
        )


@lint("contract", Level.WARN, "ContextPolicyLint")
def projection_root_seed_missing(view: View) -> Iterator[Finding]:
    """The Ctx that the caller of the lint gives has no directory to write to.

    That is, the Ctx (`--ctx`, over `default_init_ctx`) has no `project_root` or
    `work_dir`, or none that the agent sees. The agent could not place its outputs. The
    lint concerns Blueprints with a `projection_placement` or a `check_policy` of warn or
    strict, and agents that answer in words (`operator`, `agent_block`).
    """
    blueprint, launch = view.blueprint, view.options.launch
    placed = blueprint.projection_placement is not None
    every = placed or blueprint.check_policy in ("warn", "strict")
    concerned = [one for one in view.runnable if every or one.rules.answers]
    if launch is None or not (every or concerned):
        return
    ctx = merge_init_ctx(blueprint.default_init_ctx, launch)
    roots = ctx if isinstance(ctx, dict) else {}
    given = [field for field in sorted(ROOTS) if roots.get(field)]
    if not given:
        yield Finding(
            "$",
            "neither the launch nor default_init_ctx gives project_root or work_dir",
            "name one of them at launch, or in default_init_ctx",
            element=ROOT,
        )
        return
    for one in concerned:
        if not any(_sees(one, field) for field in given):
            yield Finding(
                one.place,
                f"{one.agent.name!r} sees none of the launch's roots: {', '.join(given)}",
                "give a root that its context policy leaves visible",
                element=one.element,
            )


def _sees(one: BoundAgent, field: str) -> bool:
    """Return whether an agent's context has a field; exclude beats include."""
    policy = one.context_policy
    if policy is None:
        return True
    included = policy.include is None or field in policy.include
    return included and field not in policy.exclude
