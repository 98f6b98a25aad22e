"""A part of a Blueprint is checked and kept with it, and nothing carries it out yet.

All such parts are rows of one table. Whoever brings a part to life takes its row away.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import ROOT, Element, Finding, Level, place_in
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.lints.unresolved_meta_ref import ENVELOPE
from engine.blueprint.placeholders import placeholders_in
from engine.blueprint.subprocess_spec import SubprocessRunner
from engine.blueprint.view import View
from engine.flow import dump_compact
from engine.flow.json_text import Json

Applies = Callable[[BoundAgent], bool]
IN_STEPS: Final = f"flow.in.{ENVELOPE}"


@dataclass(frozen=True, slots=True)
class Row:
    """A part of the document that has no effect yet.

    `at` are the places where it may stand (`[]` for each of a list, `{}` of a map),
    `missing` says what does not happen, `instead` what to do meanwhile. `applies` tells
    for which agents; a place outside of all agents is in vain where it applies to any.
    """

    at: tuple[str, ...]
    missing: str
    instead: str
    applies: Applies = lambda _: True


def not_of(*kinds: str) -> Applies:
    """Returns what applies to agents of all other kinds."""
    return lambda one: one.kind not in kinds


def of(*kinds: str) -> Applies:
    """Returns what applies to agents of these kinds."""
    return lambda one: one.kind in kinds


def without(*placeholders: str) -> Applies:
    """Returns what applies to child processes whose words have no such placeholder."""

    def applies(one: BoundAgent) -> bool:
        return one.kind == "subprocess" and not _asked_for(one) & {*placeholders}

    return applies


ROWS: Final = (
    Row(
        ("agents[].verdict",),
        "no answer is held against its contract while a run goes on",
        "the compiler holds every condition against it; let a branch catch other words",
    ),
    Row(
        ("hints.per_agent{}.limit",),
        "as many attempts are under way at once as there are workers",
        "bound the work by the number of workers of a queue of its own; dialect"
        " 'swarm' also has fanout.max_parallel",
    ),
    Row(
        ("audits",),
        "no agent is asked to look at what others did",
        "make the audit a step of the flow",
    ),
    Row(
        ("spawner_hints.layers",),
        "no layer is put around any agent",
        "let the agent itself do what the layer would",
    ),
    Row(
        ("check_policy",),
        "no worker checks what an agent reports of itself",
        "leave it out, or keep it for later",
    ),
    Row(
        ("degradation_policy",),
        "nobody tells what an agent could not be given",
        "leave it out, or keep it for later",
    ),
    Row(
        ("projection_placement",),
        "outputs of steps are not written as files",
        "let an agent write the files",
    ),
    Row(
        ("agents[].meta.projection_name",),
        "outputs of steps are not written as files",
        "let an agent write the files",
    ),
    Row(
        ("metadata.project_name_alias",),
        "nothing asks for another name of the project",
        "leave it out, or keep it for later",
    ),
    Row(
        ("strategy.strict_binding",),
        "no binding is held against what the Blueprint declares",
        "leave it out, or keep it for later",
    ),
    Row(
        tuple(
            f"{policy}.{field}"
            for policy in ("default_context_policy", "agents[].meta.context_policy")
            for field in ("steps", "steps_exclude")
        ),
        "no agent is shown the outputs of other steps",
        "hand the step what it needs in its `in`",
    ),
    Row(
        (
            "default_agent_ctx",
            "default_context_policy",
            "agents[].meta.ctx",
            "agents[].meta.meta_ref",
            "agents[].meta.context_policy",
        ),
        "only agents of kind 'lua' are given their context",
        "hand the step what it needs in its `in`",
        not_of("lua"),
    ),
    Row(
        (IN_STEPS,),
        "the agent finds it in its input like any other key",
        "hand the step what it needs in its `in`",
    ),
    Row(
        ("operators", "default_operator_kind"),
        "nobody can take a seat",
        "no step of kind 'operator' runs yet; use another kind",
    ),
    Row(
        ("agents[]", "runners[]"),
        "no worker serves its kind, so a run is refused",
        "use another kind, or keep the Blueprint for later",
        of("operator"),
    ),
    Row(
        ("agents[]", "runners[]"),
        "no worker serves its kind, so a run is refused",
        "use another kind, such as 'subprocess' for a program that asks a model",
        of("agent_block"),
    ),
    Row(
        tuple(
            f"agents[].profile.{field}"
            for field in ("system_prompt", "model", "tools", "effort", "extras")
        ),
        "a function or script is given its step's input, and nothing of its profile",
        "hand the step what it needs in its `in`",
        of("lua", "python_fn"),
    ),
    Row(
        ("agents[].profile.effort", "agents[].profile.extras"),
        "no placeholder stands for it, so the program is not told",
        "write it among the words of the program",
        of("subprocess"),
    ),
    Row(
        ("agents[].profile.system_prompt",),
        "the program's words have neither {system} nor {system_file}",
        "say in `argv`, `stdin` or `env` where it goes",
        without("system", "system_file"),
    ),
    Row(
        (
            "agents[].profile.model",
            "agents[].spec.model",
            "agents[].runner.overrides.model",
            "runners[].runner.overrides.model",
        ),
        "the program's words have no {model}",
        "say in `argv`, `stdin` or `env` where it goes",
        without("model"),
    ),
    Row(
        (
            "agents[].profile.tools",
            "agents[].spec.tools",
            "agents[].runner.overrides.tools",
            "runners[].runner.overrides.tools",
        ),
        "the program's words have no {tools_csv}",
        "say in `argv`, `stdin` or `env` where it goes",
        without("tools_csv"),
    ),
)


def check(view: View) -> Iterator[Finding]:
    """Yields each part of the document that has no effect yet."""
    for row in ROWS:
        for at in row.at:
            for place, element in _spots(view, row, at):
                message = f"{_named(at)} has no effect yet: {row.missing}"
                yield Finding(place, message, row.instead, element=element)


def _spots(view: View, row: Row, at: str) -> Iterator[tuple[str, Element]]:
    """Yields where a part is written that says anything, and what it is about."""
    head, _, rest = at.partition("[]" if "[]" in at else "{}")
    if at == IN_STEPS:
        yield from _envelopes(view)
    elif head == at:
        if _says(view.document, f".{at}") and (not view.bound or _any(row, view.bound)):
            yield f"$.{at}", ROOT
    else:
        for place, raw, element in _MEMBERS[head](view, row):
            if _says(raw, rest):
                yield place + rest, element


def _agents(view: View, row: Row) -> Iterator[tuple[str, Json, Element]]:
    for one, raw in zip(view.bound, view.document.get("agents", ()), strict=True):
        if row.applies(one):
            yield one.place, raw, one.element


def _runners(view: View, row: Row) -> Iterator[tuple[str, Json, Element]]:
    for number, named in enumerate(view.blueprint.runners):
        if _any(row, (one for one in view.bound if one.runner is named.runner)):
            yield f"$.runners[{number}]", view.document["runners"][number], ROOT


def _hints(view: View, row: Row) -> Iterator[tuple[str, Json, Element]]:
    for one in view.kept:
        name = one.agent.name
        if row.applies(one) and name in view.blueprint.hints.per_agent:
            raw = view.document["hints"]["per_agent"][name]
            yield place_in("$.hints.per_agent", [name]), raw, one.element


def _any(row: Row, agents: Iterable[BoundAgent]) -> bool:
    return any(row.applies(one) for one in agents)


def _envelopes(view: View) -> Iterator[tuple[str, Element]]:
    for spot in view.steps:
        source = spot.node["in"]
        value = source.get("value") if source["op"] == "lit" else None
        if isinstance(value, dict) and ENVELOPE in value:
            step = Element("Step", spot.node["ref"])
            yield f"{spot.place}.in.value.{ENVELOPE}", step


def _named(at: str) -> str:
    return f"this {at[:-3]}" if at.endswith("[]") else f"'{at.rpartition('.')[2]}'"


def _says(value: Json, path: str) -> bool:
    """Tells whether something stands at a path, and not only that there is nothing."""
    for key in filter(None, path.split(".")):
        value = value.get(key) if isinstance(value, dict) else None
    return value is not None and value is not False and value not in ("", [], {})


def _asked_for(one: BoundAgent) -> set[str]:
    """Returns the placeholders in the words of a child process."""
    spec = one.agent.spec if isinstance(one.agent.spec, dict) else {}
    words: list[Json] = []
    if one.template is not None and isinstance(one.runner, SubprocessRunner):
        spec = one.template.model_dump()
        words.append(one.runner.overrides.cwd)
    words += [spec.get(name) for name in ("argv", "stdin", "env", "cwd")]
    return {*placeholders_in(dump_compact(words))}


_MEMBERS: Final = {"agents": _agents, "runners": _runners, "hints.per_agent": _hints}
LINT: Final = LintKind(
    "not-in-effect-yet", "suspicious", Level.WARN, "FlowLint", lint=check
)
