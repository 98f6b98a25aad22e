"""A reference to a meta leads nowhere, in an agent or in a step's literal input."""

from collections.abc import Collection, Iterator
from typing import Final

from engine.blueprint.diagnostics import Element, Finding, place_in
from engine.blueprint.flow_walk import Spot
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_agents import AgentMeta
from engine.blueprint.schema_errors import did_you_mean, listed
from engine.blueprint.view import View

ENVELOPE: Final = "$step_meta"
KEYS: Final = ("ref", "inline")


def check(view: View) -> Iterator[Finding]:
    """Yields each meta_ref and each visible $step_meta that leads nowhere."""
    names = view.meta_names
    for number, agent in enumerate(view.blueprint.agents):
        element = Element("Agent", agent.name)
        place = f"$.agents[{number}].meta.meta_ref"
        yield from _check_meta(agent.meta, place, element, names)
    for number, operator in enumerate(view.blueprint.operators):
        element = Element("Operator", operator.name)
        place = f"$.operators[{number}].meta.meta_ref"
        yield from _check_meta(operator.meta, place, element, names)
    for spot in view.steps:
        yield from _check_step(spot, names)


def _check_meta(
    meta: AgentMeta | None, place: str, element: Element, names: Collection[str]
) -> Iterator[Finding]:
    ref = None if meta is None else meta.meta_ref
    if ref is not None and ref not in names:
        who = f"{element.type.lower()} {element.name!r}"
        yield _dangling(place, who, ref, names, element)


def _check_step(spot: Spot, names: Collection[str]) -> Iterator[Finding]:
    source = spot.node["in"]
    value = source.get("value") if source["op"] == "lit" else None
    if not isinstance(value, dict) or ENVELOPE not in value:
        return
    place, envelope = f"{spot.place}.in.value.{ENVELOPE}", value[ENVELOPE]
    step = Element("Step", spot.node["ref"])
    ref = envelope.get("ref") if isinstance(envelope, dict) else None
    inline = envelope.get("inline", {}) if isinstance(envelope, dict) else None
    for key in envelope if isinstance(envelope, dict) else ():
        if key not in KEYS:
            message = f"unknown field {key!r} in {ENVELOPE}"
            hint = did_you_mean(key, KEYS)
            yield Finding(place_in(place, [key]), message, hint, element=step)
    if not isinstance(inline, dict) or not isinstance(ref, str | None):
        hint = 'write {"ref": "a meta", "inline": {}}; both may be left out'
        yield Finding(place, f"malformed {ENVELOPE}", hint, element=step)
    elif ref is not None and ref not in names:
        who = f"the step of {spot.node['ref']!r}"
        yield _dangling(f"{place}.ref", who, ref, names, step)


def _dangling(
    place: str, who: str, ref: str, names: Collection[str], element: Element
) -> Finding:
    return Finding(
        place,
        f"{who} names the meta {ref!r}, which isn't there",
        did_you_mean(ref, names) or "add it to $.metas",
        (f"defined: {listed(names)}",),
        element=element,
    )


LINT: Final = LintKind("unresolved-meta-ref", "correctness", compile=check)
