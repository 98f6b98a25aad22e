"""The agent kinds and how the spec of each is checked, one table line each."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import ValidationError

from engine.blueprint.binding import BoundAgent
from engine.blueprint.diagnostics import Finding
from engine.blueprint.kind_agent_block import RULES as AGENT_BLOCK
from engine.blueprint.kind_lua import RULES as LUA
from engine.blueprint.kind_operator import RULES as OPERATOR
from engine.blueprint.kind_python_fn import RULES as PYTHON_FN
from engine.blueprint.kind_rules import KindRules
from engine.blueprint.kind_subprocess import RULES as SUBPROCESS
from engine.blueprint.schema_errors import read_errors
from engine.flow.json_text import Json

KINDS: Final[Mapping[str, KindRules]] = {
    "lua": LUA,
    "python_fn": PYTHON_FN,
    "subprocess": SUBPROCESS,
    "operator": OPERATOR,
    "agent_block": AGENT_BLOCK,
}


def check_spec(bound: BoundAgent) -> Iterator[Finding]:
    """Yields what is wrong with an agent's spec and runner for its kind."""
    rules = KINDS.get(bound.kind)
    if rules is None:
        return
    model = rules.model(bound)
    spec, place, what = bound.agent.spec, f"{bound.place}.spec", ""
    if spec is None:
        # It is read as an empty one, so that its missing fields are named.
        spec, place, what = {}, bound.place, "spec: "
    try:
        model.model_validate(spec)
    except ValidationError as error:
        for found in read_errors(error, model, place):
            message = f"{what}{found.message}"
            yield Finding(found.place, message, found.help, element=bound.element)
        return
    yield from rules.check(bound)


def full_spec(bound: BoundAgent) -> Mapping[str, Json]:
    """Returns a checked spec with its defaults filled in."""
    rules = KINDS.get(bound.kind)
    spec = {} if bound.agent.spec is None else bound.agent.spec
    if rules is None:
        return spec if isinstance(spec, dict) else {}
    filled = rules.fill(bound)
    if filled is not None:
        return filled
    return rules.model(bound).model_validate(spec).model_dump()
