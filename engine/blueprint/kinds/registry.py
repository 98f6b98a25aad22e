"""The agent kinds, found by the names of their files, and the check of their specs."""

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from engine.blueprint.findings.diagnostics import Finding
from engine.blueprint.findings.schema_errors import read_errors
from engine.blueprint.kinds.rules import AgentKind, BoundAgent
from engine.flow.json_text import Json


def _load_kinds() -> Iterator[AgentKind]:
    """Yield the KIND of each module in this folder, so that a new kind needs no line."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
        if module.name == __name__:
            continue
        kind = getattr(import_module(module.name), "KIND", None)
        if isinstance(kind, AgentKind):
            yield kind


KINDS: Final[Mapping[str, AgentKind]] = {kind.name: kind for kind in _load_kinds()}
ANY_KIND: Final = AgentKind()
"""The rules of a kind that an installation adds."""
KIND_ALIASES: Final[Mapping[str, str]] = {
    alias: kind.name for kind in KINDS.values() for alias in kind.aliases
}
BACKENDS: Final[Mapping[str, str]] = {
    backend: kind.name for kind in KINDS.values() for backend in kind.backends
}
"""The kind that each backend serves."""
MARKDOWN_KIND: Final = next(
    kind.name for kind in KINDS.values() if kind.is_markdown_default
)
"""The default kind of agents in Markdown files."""


def check_spec(bound: BoundAgent) -> Iterator[Finding]:
    """Yield the faults of an agent's spec and runner for its kind."""
    model = bound.rules.model(bound)
    if model is None:
        return
    spec, place, what = bound.agent.spec, f"{bound.place}.spec", ""
    if spec is None:
        # An absent spec is read as an empty one, so that the findings name its fields.
        spec, place, what = {}, bound.place, "spec: "
    try:
        model.model_validate(spec)
    except ValidationError as error:
        for found in read_errors(error, model, place):
            message = f"{what}{found.message}"
            yield Finding(found.place, message, found.help, element=bound.element)
        return
    yield from bound.rules.check(bound)


def full_spec(bound: BoundAgent) -> Mapping[str, Json]:
    """Return a checked spec with its defaults filled in."""
    shared, model = bound.rules.shared_spec(bound), bound.rules.model(bound)
    if shared is not None:
        return shared
    if model is None:
        return bound.spec
    return model.model_validate(bound.spec).model_dump()
