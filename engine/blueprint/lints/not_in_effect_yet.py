"""Without effect: parts of a Blueprint that are not implemented yet.

Each is a row of one table; a row that concerns one kind is an attribute of the kind. A
change that implements a part removes its row.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import (
    ROOT,
    Element,
    Finding,
    Level,
    place_in,
)
from engine.blueprint.kinds.registry import KINDS
from engine.blueprint.kinds.rules import BoundAgent, Lack
from engine.blueprint.lints.lint_kind import lint
from engine.blueprint.lints.names import ENVELOPE, envelopes_in
from engine.flow.json_text import Json

IN_STEPS: Final = f"flow.in.{ENVELOPE}"
_LEAVE_OUT: Final = "leave it out, or keep it for later"
_AS_INPUT: Final = "give the step what it needs in its `in`"
_BY_AGENT: Final = "let an agent write the files"
_NO_FILES: Final = "outputs of steps are not written as files"
_WITH_CONTEXT: Final = " or ".join(
    f"'{kind.name}'" for kind in KINDS.values() if kind.has_context
)
_OF_EVERY_KIND: Final = (
    Lack(
        ("agents[].limit", "hints.per_agent{}.limit"),
        "as many attempts are under way at once as there are workers",
        "bound the work by the number of workers of the agent's queue; dialect"
        " 'swarm' also has fanout.max_parallel",
    ),
    Lack(
        ("audits",),
        "no agent audits the steps of other agents",
        "make the audit a step of the flow",
    ),
    Lack(
        ("spawner_hints.layers",),
        "no agent runs inside a layer",
        "let the agent itself do what the layer would",
    ),
    Lack(
        ("check_policy",),
        "no worker checks the reports of agents about themselves",
        _LEAVE_OUT,
    ),
    Lack(
        ("degradation_policy",),
        "nothing reports the inputs that an agent could not get",
        _LEAVE_OUT,
    ),
    Lack(("projection_placement",), _NO_FILES, _BY_AGENT),
    Lack(("agents[].meta.projection_name",), _NO_FILES, _BY_AGENT),
    Lack(
        ("metadata.project_name_alias",),
        "nothing uses another name of the project",
        _LEAVE_OUT,
    ),
    Lack(
        ("strategy.strict_binding",),
        "no binding is checked against what the Blueprint declares",
        _LEAVE_OUT,
    ),
    Lack(
        tuple(
            f"{policy}.{field}"
            for policy in ("default_context_policy", "agents[].meta.context_policy")
            for field in ("steps", "steps_exclude")
        ),
        "no agent sees the outputs of other steps",
        _AS_INPUT,
    ),
    Lack(
        (
            "default_agent_ctx",
            "default_context_policy",
            "agents[].meta.ctx",
            "agents[].meta.meta_ref",
            "agents[].meta.context_policy",
        ),
        f"only agents of kind {_WITH_CONTEXT} get their context",
        _AS_INPUT,
        lambda one: not one.rules.has_context,
    ),
    Lack((IN_STEPS,), "the agent finds it in its input like any other key", _AS_INPUT),
    Lack(
        ("operators", "default_operator_kind"),
        "no operator can take a seat",
        "no step of kind 'operator' runs yet; use another kind",
    ),
)
ROWS: Final = (
    *_OF_EVERY_KIND,
    *dict.fromkeys(lack for kind in KINDS.values() for lack in kind.lacks),
)


@lint("suspicious", Level.WARN, "FlowLint")
def not_in_effect_yet(view: View) -> Iterator[Finding]:
    """A part of the Blueprint is valid and stored, and has no effect yet.

    Each part that has a value is a finding; `manage.py run` says how many. Every part
    that is not in this table, and that no other lint finds, has an effect. Context and
    profile of an agent are findings only for the kinds that do not get them; `model`,
    `tools` and `system_prompt` of a child process only if no placeholder uses them.
    """
    for row in ROWS:
        for at in row.at:
            for place, element in _spots(view, row, at):
                name = f"'{at.rpartition('.')[2]}'"
                if at.endswith("[]"):
                    name = f"this {at[:-3]}"
                message = f"{name} has no effect yet: {row.missing}"
                yield Finding(place, message, row.instead, element=element)


def _spots(view: View, row: Lack, at: str) -> Iterator[tuple[str, Element]]:
    """Yield each place where a part has a value, and its element."""
    hints = (
        view.document["hints"]["per_agent"] if view.blueprint.hints.per_agent else {}
    )
    head, _, rest = at.partition("[]" if "[]" in at else "{}")
    found: Iterable[tuple[str, Json, Element]] = [("$", view.document, ROOT)]
    match head:
        case "agents":
            raws = view.document.get("agents", ())
            found = (
                (one.place, raw, one.element)
                for one, raw in zip(view.bound, raws, strict=True)
                # Most have none, which is known faster than whether a row applies.
                if _has_value(raw, rest) and _applies(row, one)
            )
        case "runners":
            found = (
                (f"$.runners[{number}]", view.document["runners"][number], ROOT)
                for number, named in enumerate(view.blueprint.runners)
                if any(_applies(row, o) for o in view.bound if o.runner is named.runner)
            )
        case "hints.per_agent":
            found = (
                (place_in("$.hints.per_agent", [name]), hints[name], one.element)
                for one in view.runnable
                if (name := one.agent.name) in hints and _applies(row, one)
            )
        case _ if at == IN_STEPS:
            found = ((place, True, step) for place, step, _ in envelopes_in(view))
            rest = ""
        case _:
            rest = f".{at}"
            if view.bound and not any(_applies(row, one) for one in view.bound):
                return
    for place, value, element in found:
        if _has_value(value, rest):
            yield place + rest, element


def _applies(row: Lack, one: BoundAgent) -> bool:
    return (row in _OF_EVERY_KIND or row in one.rules.lacks) and row.applies(one)


def _has_value(value: Json, path: str) -> bool:
    """Return whether the value at a path is other than null, false or empty."""
    for key in filter(None, path.split(".")):
        value = value.get(key) if isinstance(value, dict) else None
    return value is not None and value is not False and value not in ("", [], {})
