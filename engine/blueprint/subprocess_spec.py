"""Kind subprocess: a program written in the document, or one of its templates."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding
from engine.blueprint.kind_rules import KindRules
from engine.blueprint.schema_runners import SubprocessRunner
from engine.blueprint.strict import Strict, Text


class SubprocessSpec(Strict):
    """`spec` of kind subprocess: the program to start, without a shell."""

    program: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
    args: list[Text] = []
    use_stdin: bool = True
    stream_mode: Literal["ndjson_lines", "sse_events", "length_prefixed"] | None = None


class TemplateSpec(Strict):
    """`spec` of an agent whose runner names a template: nothing is left to say."""


def choose_spec(bound: BoundAgent) -> type[Strict] | None:
    """Returns the empty shape for an agent with a template."""
    return TemplateSpec if isinstance(bound.runner, SubprocessRunner) else None


def check_template(bound: BoundAgent) -> Iterator[Finding]:
    """Yields a finding where the runner names a template that isn't there."""
    if isinstance(bound.runner, SubprocessRunner) and bound.template is None:
        message = f"the runner names the template {bound.runner.template!r}"
        hint = "add it to $.subprocesses or correct the name"
        yield Finding(
            bound.place, f"{message}, which isn't there", hint, element=bound.element
        )


RULES: Final = KindRules(SubprocessSpec, choose=choose_spec, check=check_template)
