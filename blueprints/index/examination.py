"""What compiler and lints say of a document that is to be kept, and what it contains."""

from __future__ import annotations

from dataclasses import dataclass

from blueprints.models.blueprint_versions import BLOCK, tags_text
from blueprints.preflight import known_kinds, legacy_bindings
from engine.blueprint import BlueprintInvalid, Diagnostic
from engine.blueprint.lint import lint_view
from engine.blueprint.reading import read_blueprint
from engine.flow.json_text import Json


class NoBlueprint(BlueprintInvalid):
    """A document that is no Blueprint: it is never stored, whatever is forced."""


class HasErrors(BlueprintInvalid):
    """A Blueprint with errors: it can be stored by force and not be launched.

    `diagnostics` are all its findings, also those that are no errors.
    """


@dataclass(frozen=True, slots=True)
class Examined:
    """The facts about a document that its row has."""

    id: str
    verdict: str
    diagnostics: tuple[Diagnostic, ...]
    label: str | None
    """The `metadata.version_label` of the document."""
    description: str
    tags: str
    agents: int
    nodes: int

    @property
    def forced(self) -> bool:
        """Whether only force keeps it: it has errors."""
        return self.verdict == BLOCK

    def columns(self) -> dict[str, Json]:
        """Return the columns of the row."""
        return {
            "verdict": self.verdict,
            "findings": [one.to_json() for one in self.diagnostics],
            "description": self.description,
            "tags": self.tags,
            "agents": self.agents,
            "nodes": self.nodes,
        }


def examine(document: Json) -> Examined:
    """Return the facts about a document; raise NoBlueprint.

    It is compiled against all kinds that exist: what this installation lacks is told at
    launch.
    """
    try:
        view = read_blueprint(
            document, kinds=known_kinds(), legacy_bindings=legacy_bindings()
        )
    except BlueprintInvalid as error:
        raise NoBlueprint(error.diagnostics) from None
    report = lint_view(view)
    metadata = view.blueprint.metadata
    return Examined(
        view.blueprint.id,
        report.verdict,
        report.diagnostics,
        metadata.version_label,
        metadata.description or "",
        tags_text(metadata.tags),
        len(view.blueprint.agents),
        0 if view.faults else len(view.spots),
    )


def examine_kept(document: Json) -> dict[str, Json]:
    """Return the columns of a document that is kept already, whatever it is."""
    try:
        return examine(document).columns()
    except NoBlueprint as error:
        found = [one.to_json() for one in error.diagnostics]
        return {"verdict": BLOCK, "findings": found}
