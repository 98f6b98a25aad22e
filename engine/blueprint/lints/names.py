"""Names: references to what does not exist, and duplicate names."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import (
    ROOT,
    Element,
    ElementType,
    Finding,
    Level,
    place_in,
)
from engine.blueprint.lints.levels import CATEGORY, SETTINGS
from engine.blueprint.lints.lint_kind import CATEGORIES, by_level, lint
from engine.blueprint.schema.agents import AgentMeta
from engine.blueprint.schema.document import Blueprint
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean, hint_at, listed

LAYERS: Final = ("main_ai", "senior_escalation", "operator_delegate")
ENVELOPE: Final = "$step_meta"
ENVELOPE_KEYS: Final = ("ref", "inline")
# Audits may repeat: one agent can audit some steps at once and others later.
NAMED: Final[Mapping[str, ElementType]] = {
    "operators": "Operator",
    "metas": "Meta",
    "runners": "BlueprintRoot",
    "subprocesses": "BlueprintRoot",
}


@lint("correctness")
def unknown_spawner_hint(view: View) -> Iterator[Finding]:
    """`spawner_hints.layers` names a layer that doesn't exist.

    The reference ignores it silently, and the agent runs without the layer.
    """
    for number, layer in enumerate(view.blueprint.spawner_hints.layers):
        if layer not in LAYERS:
            place = f"$.spawner_hints.layers[{number}]"
            hint = did_you_mean(layer, LAYERS)
            yield Finding(place, f"unknown layer {layer!r}", hint, element=ROOT)


@lint("correctness")
def unresolved_operator_ref(view: View) -> Iterator[Finding]:
    """An operator agent's `operator_ref` is not the name of an operator.

    No operator could take the seat.
    """
    names = dict.fromkeys(one.name for one in view.blueprint.operators)
    for one in view.bound:
        ref = one.rules.seat(one)
        if ref is not None and ref not in names:
            place, who = f"{one.place}.spec.operator_ref", f"agent {one.agent.name!r}"
            yield _dangling(place, who, "operator", ref, names, one.element)


@lint("correctness")
def unresolved_meta_ref(view: View) -> Iterator[Finding]:
    """A `meta_ref` or a literal input's `$step_meta.ref` is not the name of a meta.

    A field of `$step_meta` besides `ref` and `inline` is an error, too. The step would
    fail when it is reached.
    """
    names = dict.fromkeys(one.name for one in view.blueprint.metas)
    for place, element, meta in metas_in(view.blueprint):
        ref = meta.meta_ref
        if ref is not None and ref not in names:
            who = f"{element.type.lower()} {element.name!r}"
            yield _dangling(f"{place}.meta_ref", who, "meta", ref, names, element)
    for place, step, envelope in envelopes_in(view):
        if not isinstance(envelope, dict):
            envelope = {"inline": None}
        ref = envelope.get("ref")
        for key in envelope:
            if key not in ENVELOPE_KEYS:
                message = f"unknown field {key!r} in {ENVELOPE}"
                hint = did_you_mean(key, ENVELOPE_KEYS)
                yield Finding(place_in(place, [key]), message, hint, element=step)
        if not isinstance(envelope.get("inline", {}), dict) or not isinstance(
            ref, str | None
        ):
            hint = 'write {"ref": "a meta", "inline": {}}; both may be left out'
            yield Finding(place, f"malformed {ENVELOPE}", hint, element=step)
        elif ref is not None and ref not in names:
            who = f"the step of {step.name!r}"
            yield _dangling(f"{place}.ref", who, "meta", ref, names, step)


def metas_in(blueprint: Blueprint) -> Iterator[tuple[str, Element, AgentMeta]]:
    """Yield the `meta` of each agent and operator, with its place."""
    for number, agent in enumerate(blueprint.agents):
        if agent.meta is not None:
            yield f"$.agents[{number}].meta", Element("Agent", agent.name), agent.meta
    for number, operator in enumerate(blueprint.operators):
        if operator.meta is not None:
            element = Element("Operator", operator.name)
            yield f"$.operators[{number}].meta", element, operator.meta


def envelopes_in(view: View) -> Iterator[tuple[str, Element, Json]]:
    """Yield each `$step_meta` in the literal input of a step, with its place."""
    for spot in view.steps:
        source, ref = spot.node["in"], spot.node["ref"]
        value = source.get("value") if source["op"] == "lit" else None
        given = source["entries"].get(ENVELOPE) if source["op"] == "object" else None
        if isinstance(value, dict) and ENVELOPE in value:
            at = f"{spot.place}.in.value.{ENVELOPE}"
            yield at, Element("Step", ref), value[ENVELOPE]
        if given is not None and given["op"] == "lit":
            at = f"{spot.place}.in.entries.{ENVELOPE}.value"
            yield at, Element("Step", ref), given["value"]


@lint("correctness")
def unresolved_audit_agent(view: View) -> Iterator[Finding]:
    """An audit's agent is not the name of an agent.

    The audit would never happen.
    """
    for number, audit in enumerate(view.blueprint.audits):
        if audit.agent not in view.agents:
            place = f"$.audits[{number}].agent"
            yield _dangling(place, "the audit", "agent", audit.agent, view.agents, ROOT)


def _dangling(
    place: str, who: str, what: str, ref: str, names: Collection[str], element: Element
) -> Finding:
    return Finding(
        place,
        f"{who} names the {what} {ref!r}, which does not exist",
        did_you_mean(ref, names) or f"add it to $.{what}s",
        (f"defined: {listed(names)}",),
        element=element,
    )


@lint("correctness")
def duplicate_name(view: View) -> Iterator[Finding]:
    """Two operators, metas, runners, templates of child processes or steps have one name.

    The name would not identify one of them.
    """
    for key, element_type in NAMED.items():
        rows = enumerate(getattr(view.blueprint, key))
        yield from _repeated(
            element_type,
            ((f"$.{key}[{number}]", row.name, row.name) for number, row in rows),
        )
    named = (spot for spot in view.steps if "name" in spot.node)
    yield from _repeated(
        "Step", ((one.place, one.node["name"], one.node["ref"]) for one in named)
    )


def _repeated(
    element_type: ElementType, named: Iterable[tuple[str, str, str]]
) -> Iterator[Finding]:
    """Yield a finding for each name that an earlier one has.

    With each name come its place, and the name of its element.
    """
    first: dict[str, str] = {}
    for place, name, element_name in named:
        if first.setdefault(name, place) != place:
            message = f"the name {name!r} is taken by {first[name]}"
            element = Element(element_type, element_name)
            yield Finding(f"{place}.name", message, "rename one", element=element)


@lint("correctness")
def duplicate_agent_name(view: View) -> Iterator[Finding]:
    """Two agents have one name.

    A step could mean either.
    """
    for one in view.bound:
        first = view.agents[one.agent.name]
        if first is not one:
            message = f"agent name {one.agent.name!r} is taken by {first.place}"
            place = f"{one.place}.name"
            yield Finding(place, message, "rename one", element=one.element)


@lint("correctness", Level.INFO, "NamingLint", error_if=by_level)
def step_naming_collision(view: View) -> Iterator[Finding]:
    """Two steps claim one public name for their outputs.

    It is an error if one of them has a `projection_name`, else a note: one of them gets
    the name. A reader of the output by its name could get the wrong one.
    """
    for found in view.names.collisions:
        why = f"; {view.names.names[found.name]!r} gets it"
        if found.reason:
            why = f": {found.reason}"
        yield Finding(
            found.place,
            f"the steps {found.first!r} and {found.second!r} both claim the output name"
            f" {found.name!r}{why}",
            "give one of them another out path, or another projection_name",
            element=Element("Step", found.second),
            level=Level.ERROR if found.reason else None,
        )


@lint("suspicious", Level.WARN, "LintControl")
def unknown_lint_kind(view: View) -> Iterator[Finding]:
    """A `lints` map has a key that is no kind, no `category:NAME` and not `all`.

    A setting of the caller other than allow, warn and deny is a finding, too. Neither
    changes a level.
    """
    known = ["all", *view.lint_kinds, *(f"{CATEGORY}{name}" for name in CATEGORIES)]
    for place, key, _, element in _settings(view):
        name = key.lower() if key.lower().startswith(CATEGORY) else key
        if name not in known:
            hint = hint_at(key, known) or "see docs/lints.md"
            message = f"{_source(place)}unknown lint {key!r}"
            yield Finding(place, message, hint, element=element)
    for key, value in view.options.lints.items():
        if value.lower() not in SETTINGS:
            message = f"{_source('$')}unknown setting {value!r} of {key!r}"
            yield Finding("$", message, did_you_mean(value, SETTINGS), element=ROOT)


@lint("suspicious", Level.WARN, "LintControl")
def non_suppressible_lint(view: View) -> Iterator[Finding]:
    """A `lints` map allows an error of the compiler, or makes it a warning.

    It stays an error.
    """
    for place, key, setting, element in _settings(view):
        if not view.lint_kinds.get(key, True) and setting.lower() != "deny":
            message = f"{key!r} is always an error; {setting!r} changes nothing"
            message = f"{_source(place)}{message}"
            yield Finding(place, message, "drop the line", element=element)


def _settings(view: View) -> Iterator[tuple[str, str, str, Element]]:
    """Yield the place, key, setting and element of each line of a layer."""
    layers = [
        (f"{one.place}.lints", one.agent.lints, one.element) for one in view.bound
    ]
    layers.append(("$.metadata.lints", view.blueprint.metadata.lints, ROOT))
    for start, layer, element in layers:
        for key, setting in (layer or {}).items():
            yield place_in(start, [key]), key, setting, element
    for key, called in view.options.lints.items():
        yield "$", key, called, ROOT


def _source(place: str) -> str:
    """Return the beginning of a message: the caller's settings have no place."""
    return "lints of the caller: " if place == "$" else ""
