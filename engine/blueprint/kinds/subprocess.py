"""Kind subprocess: a plain program, a template of its own, or a shared one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import model_validator

from engine.blueprint.findings.diagnostics import Finding
from engine.blueprint.kinds.rules import AgentKind, BoundAgent, Lack
from engine.blueprint.schema.agents import AgentDef
from engine.blueprint.schema.placeholders import placeholders_in
from engine.blueprint.schema.strict import Strict
from engine.blueprint.schema.subprocess_template import (
    PlainSpec,
    SubprocessRunner,
    TemplateSpec,
)
from engine.flow.json_text import Json, dump_compact

_LONGEST: Final = 100


class NoSpec(Strict):
    """`spec` of an agent whose runner names a template: it must be empty."""

    @model_validator(mode="before")
    @classmethod
    def check_empty(cls, value: Json) -> Json:
        """Refuse a spec that the template would replace."""
        if value:
            raise ValueError(
                "an agent with a runner takes its spec from the template; remove spec,"
                " or say `argv` there and remove runner"
            )
        return value


_EMPTY: Final[list[Json]] = [
    {"type": "null"},
    {"type": "object", "maxProperties": 0},
]
_FORM: Final[dict[str, Json]] = {
    "if": {
        "type": "object",
        "required": ["argv"],
        "not": {"required": ["program"]},
    },
    "then": {"$ref": "#/$defs/TemplateSpec"},
    "else": {"$ref": "#/$defs/PlainSpec"},
}
# With a runner of its own, an agent has no spec; with a named one, it may have none.
_SCHEMA: Final[dict[str, Json]] = {
    "if": {
        "properties": {"runner": {"properties": {"backend": {"const": "subprocess"}}}},
        "required": ["runner"],
        "not": {"properties": {"runner": {"type": "null"}}},
    },
    "then": {"properties": {"spec": {"anyOf": _EMPTY}}},
    "else": {"properties": {"spec": {"anyOf": [*_EMPTY, _FORM]}}},
}


def without(*placeholders: str) -> Callable[[BoundAgent], bool]:
    """Return a test for agents whose words have none of some placeholders."""
    return lambda bound: not _placeholders(bound) & {*placeholders}


def _placeholders(bound: BoundAgent) -> set[str]:
    spec: Mapping[str, Json] = bound.spec
    words: list[Json] = []
    if bound.template is not None and isinstance(bound.runner, SubprocessRunner):
        spec = bound.template.model_dump()
        words.append(bound.runner.overrides.cwd)
    return {*_placeholders_of(spec, *words)}


def _placeholders_of(spec: Mapping[str, Json], *words: Json) -> list[str]:
    parts = [*words, *(spec.get(name) for name in ("argv", "stdin", "env", "cwd"))]
    return sorted({*placeholders_in(dump_compact(parts))})


_WHERE: Final = "name it in `argv`, `stdin` or `env` where it goes"


class Subprocess(AgentKind):
    """A process per attempt."""

    name = "subprocess"
    backends = ("subprocess",)
    spec = PlainSpec
    other_specs = (TemplateSpec,)
    schema = _SCHEMA
    needs_timeout = True
    lacks = (
        Lack(
            ("agents[].profile.effort", "agents[].profile.extras"),
            "no placeholder stands for it, so the program does not get it",
            "write it among the words of the program",
        ),
        Lack(
            ("agents[].profile.system_prompt",),
            "the program's words have neither {system} nor {system_file}",
            _WHERE,
            without("system", "system_file"),
        ),
        Lack(
            (
                "agents[].profile.model",
                "agents[].spec.model",
                "agents[].runner.overrides.model",
                "runners[].runner.overrides.model",
            ),
            "the program's words have no {model}",
            _WHERE,
            without("model"),
        ),
        Lack(
            (
                "agents[].profile.tools",
                "agents[].spec.tools",
                "agents[].runner.overrides.tools",
                "runners[].runner.overrides.tools",
            ),
            "the program's words have no {tools_csv}",
            _WHERE,
            without("tools_csv"),
        ),
    )

    def model(self, bound: BoundAgent) -> type[Strict]:
        """Return the form of the spec: a template if it has `argv`, else plain."""
        if isinstance(bound.runner, SubprocessRunner):
            return NoSpec
        is_template = "argv" in bound.spec and "program" not in bound.spec
        return TemplateSpec if is_template else PlainSpec

    def check(self, bound: BoundAgent) -> Iterator[Finding]:
        """Yield a finding where the agent's own runner names a template that is absent.

        Named runners are checked where they are defined.
        """
        runner, own = bound.runner, bound.source == "agent_inline"
        if isinstance(runner, SubprocessRunner) and own and bound.template is None:
            place = f"{bound.place}.runner.template"
            message = f"no template is named {runner.template!r}"
            hint = "add it to $.subprocesses, or correct the name"
            yield Finding(place, message, hint, element=bound.element)

    def shared_spec(self, bound: BoundAgent) -> Mapping[str, Json] | None:
        """Return the template with the overrides of the agent, None without a template."""
        template, runner = bound.template, bound.runner
        if template is None or not isinstance(runner, SubprocessRunner):
            return None
        own = runner.overrides
        spec = template.model_dump(exclude={"name"})
        spec |= {"model": own.model, "tools": own.tools or None}
        return {**spec, "cwd": own.cwd or template.cwd}

    def takes_default_runner(self, agent: AgentDef) -> bool:
        """Return whether the agent has no spec, which would replace the runner."""
        return not agent.spec

    def template_variables(self, spec: Mapping[str, Json]) -> list[str]:
        """Return the placeholders of a template; a plain program has none."""
        return _placeholders_of(spec) if spec.get("argv") else []

    def describe(self, spec: Mapping[str, Any]) -> str:
        """Return the words of the command line, cut where they are many."""
        words = spec.get("argv") or [spec.get("program", ""), *spec.get("args", [])]
        text = " ".join(" ".join(map(str, words)).split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


KIND: Final = Subprocess()
