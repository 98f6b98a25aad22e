"""Kind subprocess: a program, words with placeholders, or a template that is shared."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import model_validator

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding
from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import Strict
from engine.blueprint.subprocess_spec import (
    PlainSpec,
    SubprocessRunner,
    TemplateSpec,
    applied,
    subprocess_model,
)
from engine.flow.json_text import Json


class NoSpec(Strict):
    """`spec` of an agent whose runner names a template: nothing is left to say."""

    @model_validator(mode="before")
    @classmethod
    def check_empty(cls, value: Json) -> Json:
        """Refuses a spec that the template would hide."""
        if value:
            raise ValueError(
                "an agent with a runner takes its spec from the template; remove spec,"
                " or say `argv` there and remove runner"
            )
        return value


def choose_model(bound: BoundAgent) -> type[Strict] | None:
    """Returns the shape that this agent's spec has to have."""
    if isinstance(bound.runner, SubprocessRunner):
        return NoSpec
    return subprocess_model(bound.agent.spec)


def check_template(bound: BoundAgent) -> Iterator[Finding]:
    """Yields a finding where the agent's own runner names a template that isn't there.

    Runners with a name are looked at where they stand.
    """
    runner, own = bound.runner, bound.source == "agent_inline"
    if isinstance(runner, SubprocessRunner) and own and bound.template is None:
        place = f"{bound.place}.runner.template"
        message = f"no template is named {runner.template!r}"
        hint = "add it to $.subprocesses, or correct the name"
        yield Finding(place, message, hint, element=bound.element)


def fill_spec(bound: BoundAgent) -> Mapping[str, Json] | None:
    """Returns the template with what the agent changes of it, None without one."""
    if isinstance(bound.runner, SubprocessRunner) and bound.template is not None:
        return applied(bound.template, bound.runner)
    return None


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
# A runner of the agent's own leaves nothing to say; one with a name may do so, too.
SHAPE: Final[dict[str, Json]] = {
    "if": {
        "properties": {"runner": {"properties": {"backend": {"const": "subprocess"}}}},
        "required": ["runner"],
        "not": {"properties": {"runner": {"type": "null"}}},
    },
    "then": {"properties": {"spec": {"anyOf": _EMPTY}}},
    "else": {"properties": {"spec": {"anyOf": [*_EMPTY, _FORM]}}},
}
RULES: Final = KindRules(
    PlainSpec,
    choose=choose_model,
    check=check_template,
    fill=fill_spec,
    forms=(TemplateSpec,),
    shape=SHAPE,
)
