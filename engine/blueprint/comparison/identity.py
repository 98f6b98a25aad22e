"""Stable ids of nodes, carried from version to version through edits and renames."""

import hashlib
from dataclasses import dataclass

from engine.blueprint.comparison.matching import Identities, match_nodes
from engine.blueprint.comparison.outline import Outline
from engine.flow import dump_compact
from engine.flow.json_text import Json

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Previous:
    """The version before, with the identities that were stored with it."""

    document: Json
    identities: Identities


def identify(document: Json, previous: Previous | None = None) -> dict[str, str]:
    """Return the id of each node of a document by its place, to be stored with it.

    A node that was in the previous version keeps its id. A new one gets an id of its
    content and its place, so that the same history gives the same ids everywhere.
    """
    outline = Outline(document)
    found: dict[str, str] = {}
    if previous is not None:
        before = Outline(previous.document)
        for j, i in enumerate(match_nodes(before, outline)):
            known = previous.identities.get(before.nodes[i].place) if i >= 0 else None
            if isinstance(known, str):
                found[outline.nodes[j].place] = known
    used = set(found.values())
    if previous is not None:
        used.update(one for one in previous.identities.values() if isinstance(one, str))
    for node in outline.nodes:
        if node.place not in found:
            found[node.place] = _new_id(node.place, node.written, used)
            used.add(found[node.place])
    return {node.place: found[node.place] for node in outline.nodes}


def _new_id(place: str, written: str, used: set[str]) -> str:
    """Return an id that no node of this version and of the one before has."""
    attempt = 0
    while True:
        text = dump_compact([place, written, attempt])
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[
            :_DIGITS
        ]
        if digest not in used:
            return digest
        attempt += 1
