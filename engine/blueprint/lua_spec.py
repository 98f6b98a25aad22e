"""Kind lua: a script written in the document, or one by its registered name."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding
from engine.blueprint.kind_rules import KindRules
from engine.blueprint.strict import Strict


class LuaSpec(Strict):
    """`spec` of kind lua; `source` wins over `fn_id`."""

    source: Annotated[str, Field(min_length=1)] | None = None
    label: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    fn_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None


def check_source(bound: BoundAgent) -> Iterator[Finding]:
    """Yields a finding where there is nothing to run."""
    spec = bound.agent.spec or {}
    if spec.get("source") is None and spec.get("fn_id") is None:
        place = bound.place if bound.agent.spec is None else f"{bound.place}.spec"
        hint = 'write {"source": "return ..."} or {"fn_id": "a registered script"}'
        message = "a lua agent needs 'source' or 'fn_id'"
        yield Finding(place, message, hint, element=bound.element)


RULES: Final = KindRules(LuaSpec, check=check_source)
