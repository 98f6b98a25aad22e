"""The places of a document that the places of its parsed flow come from."""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from engine.blueprint.analysis.flow_walk import START
from engine.blueprint.findings.diagnostics import resolve_place
from engine.flow import FlowError, parse_node
from engine.flow.grammar import NODES
from engine.flow.json_text import Json
from engine.flow.origins import Origin, Origins

RENAMED: Final = {
    field.name: field.source for word in NODES for field in word.fields if field.source
}
"""The fields of nodes that authors of the dialect `swarm` name otherwise."""


def agent_field(dialect: Json) -> str:
    """Return the field of a step that an author of a dialect names the agent in."""
    return RENAMED["ref"] if dialect == "swarm" else "ref"


class SourcePlaces:
    """Finds where the author of a document wrote what stands at a place of the flow."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._is_swarm = document.get("dialect") == "swarm"
        self._renamed: Mapping[str, str] = RENAMED if self._is_swarm else {}

    @cached_property
    def _origins(self) -> Mapping[str, Origin]:
        """The origins by place: the flow is read again, since few documents need them."""
        origins = Origins()
        try:
            flow = parse_node(
                self._document["flow"],
                "swarm" if self._is_swarm else "flow.ir",
                origins,
            )
        except FlowError:
            return {}
        return origins.by_place(flow)

    def _as_written(self, place: str) -> str:
        """Return the place of a field of a node by the name that its author wrote."""
        above, _, name = place.rpartition(".")
        return f"{above}.{self._renamed[name]}" if name in self._renamed else place

    def find(self, place: str) -> tuple[str, int | None]:
        """Return a place of the document, and the character there if it is a text.

        A place outside of the flow, and one that is the same in both, stays as it is.
        """
        if not place.startswith(START):
            return place, None
        above = place = "$" + place.removeprefix(START)
        while above not in self._origins:
            if above == "$":
                written = START + place[1:]
                has = self._has(written)
                return written if has else self._as_written(written), None
            above = above[: max(above.rfind("."), above.rfind("["), 1)]
        origin = self._origins[above]
        found, rest = START + origin.place[1:], place[len(above) :]
        inside = rest.removeprefix(".value")
        # A literal is a tree, a value that is itself, or stands in `lit`.
        for below in (rest, inside, f".lit{inside}"):
            if self._has(found + below):
                return found + below, origin.offset
        return found, origin.offset

    def _has(self, place: str) -> bool:
        try:
            resolve_place(self._document, place)
        except LookupError:
            return False
        return True
