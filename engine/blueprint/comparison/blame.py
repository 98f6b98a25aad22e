"""Which version last changed each node and each agent of the newest one."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.blueprint.comparison.agents import agents_of
from engine.blueprint.comparison.matching import (
    Identities,
    changed_fields,
    match_nodes,
)
from engine.blueprint.comparison.outline import Outline
from engine.blueprint.comparison.values import Dialects, differences, same
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class Version:
    """A version in a history: its commit, its document and its stored identities."""

    commit: str
    document: Json
    identities: Identities | None = None


@dataclass(frozen=True, slots=True)
class Blame:
    """The commits that last changed the nodes by place, and the agents by name."""

    nodes: dict[str, str]
    agents: dict[str, str]


def blame(history: Iterable[Version]) -> Blame:
    """Return who last changed what of the newest version, the first of a history.

    A node's children are not its own, and a move is no change of it. The history is
    read as far back as needed. What its oldest version has and no later one changed is
    that version's.
    """
    versions = iter(history)
    newest = next(versions, None)
    if newest is None:
        return Blame({}, {})
    tracing = _Tracing(newest)
    while not tracing.is_done and (version := next(versions, None)) is not None:
        tracing.go_back_to(version)
    return tracing.end()


class _Tracing:
    """What is still unsettled while a history is read from its newest version."""

    def __init__(self, newest: Version) -> None:
        self._at = newest
        self._outline = Outline(newest.document)
        self._places = [one.place for one in self._outline.nodes]
        # By number: where a node of the newest version is in the one read last.
        self._nodes = {number: number for number in range(len(self._places))}
        self._names = list(agents_of(newest.document))
        self._agents = set(self._names)
        self._found = Blame({}, {})

    @property
    def is_done(self) -> bool:
        return not self._nodes and not self._agents

    def go_back_to(self, version: Version) -> None:
        """Settle what changed from this version to the one read before."""
        if not same(version.document, self._at.document):
            outline = Outline(version.document)
            self._trace_nodes(version, outline)
            self._trace_agents(version, outline)
            self._outline = outline
        self._at = version

    def end(self) -> Blame:
        """Return what was found; the rest is of the version read last."""
        nodes, agents = self._found.nodes, self._found.agents
        commit = self._at.commit
        return Blame(
            {place: nodes.get(place, commit) for place in self._places},
            {name: agents.get(name, commit) for name in self._names},
        )

    def _trace_nodes(self, version: Version, outline: Outline) -> None:
        newer = self._outline
        olds = match_nodes(outline, newer, version.identities, self._at.identities)
        for newest, j in list(self._nodes.items()):
            i = olds[j]
            if i < 0 or any(changed_fields(outline, i, newer, j)):
                del self._nodes[newest]
                self._found.nodes[self._places[newest]] = self._at.commit
            else:
                self._nodes[newest] = i

    def _trace_agents(self, version: Version, outline: Outline) -> None:
        older, newer = agents_of(version.document), agents_of(self._at.document)
        dialects = Dialects(outline.dialect, self._outline.dialect)
        for name in list(self._agents):
            before = older.get(name)
            if before is None or any(
                differences(before.value, newer[name].value, dialects)
            ):
                self._agents.remove(name)
                self._found.agents[name] = self._at.commit
