"""What changed from one Blueprint document to another, as its author would say it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from engine.blueprint.comparison.agents import Agent, agents_of, match_agents
from engine.blueprint.comparison.matching import (
    Identities,
    changed_fields,
    match_nodes,
)
from engine.blueprint.comparison.outline import LISTED, Outline
from engine.blueprint.comparison.readable import text_diff
from engine.blueprint.comparison.sequences import increasing
from engine.blueprint.comparison.shown import shown_pair
from engine.blueprint.comparison.values import ABSENT, Dialects, differences
from engine.flow.json_text import Json

What: TypeAlias = Literal["added", "removed", "changed", "moved", "renamed"]
Of: TypeAlias = Literal["blueprint", "agent", "node"]

# These are compared by what they contain.
_OWN_PARTS: Final = ("flow", "agents")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field with its old and its new value, None where it was or is absent.

    `old_text` and `new_text` are short forms for people, empty for an absent value.
    """

    field: str
    old: Json
    new: Json
    old_text: str
    new_text: str

    def to_json(self) -> dict[str, Json]:
        """Return the change as JSON; an absent value has no key."""
        sides = (("old", self.old, self.old_text), ("new", self.new, self.new_text))
        written = {"field": self.field}
        for side, value, text in sides:
            if text:
                written |= {side: value, f"{side}_text": text}
        return written


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to the Blueprint itself, to an agent or to a node.

    `title` is what people call it now, or called it if it is gone. Places are those of
    the old and of the new document. A node that is added or removed stands for the
    `inside` nodes in it that came or went with it.
    """

    what: What
    of: Of
    title: str
    old_place: str | None = None
    new_place: str | None = None
    old_name: str | None = None
    new_name: str | None = None
    fields: tuple[FieldChange, ...] = ()
    inside: int = 0

    def to_json(self) -> dict[str, Json]:
        """Return the change as JSON, without the keys that it has no value for."""
        written: dict[str, Json] = {
            "what": self.what,
            "of": self.of,
            "title": self.title,
            "old_place": self.old_place,
            "new_place": self.new_place,
            "old_name": self.old_name,
            "new_name": self.new_name,
            "fields": [one.to_json() for one in self.fields],
            "inside": self.inside,
        }
        return {key: value for key, value in written.items() if value}


@dataclass(frozen=True)
class Comparison:
    """What changed from one document to another."""

    old: Json
    new: Json
    changes: tuple[Change, ...]

    @cached_property
    def text(self) -> str:
        """The unified diff of the documents as text for people."""
        return text_diff(self.old, self.new)

    def to_json(self) -> dict[str, Json]:
        """Return the comparison as JSON."""
        return {"changes": [one.to_json() for one in self.changes], "text": self.text}


def compare(
    old: Json,
    new: Json,
    *,
    old_identities: Identities | None = None,
    new_identities: Identities | None = None,
) -> Comparison:
    """Return what changed from one document to another; any two JSON values will do.

    Identities are what `identify` made for each of them; without them nodes are found
    by what they are and where they are.
    """
    here, there = Outline(old), Outline(new)
    olds = match_nodes(here, there, old_identities, new_identities)
    dialects = Dialects(here.dialect, there.dialect)
    changes = (
        *_blueprint_changes(old, new, dialects),
        *_agent_changes(agents_of(old), agents_of(new), dialects),
        *_node_changes(here, there, olds),
    )
    return Comparison(old, new, changes)


# The Blueprint and its agents


def _blueprint_changes(old: Json, new: Json, dialects: Dialects) -> Iterator[Change]:
    fields = tuple(
        _field(name, before, after, before, after)
        for name, before, after in differences(_head(old), _head(new), dialects)
    )
    if fields:
        yield Change("changed", "blueprint", "Blueprint", "$", "$", fields=fields)


def _head(document: Json) -> Json:
    """Return a document without what is compared by its parts."""
    if not isinstance(document, dict):
        return {"document": document}
    return {
        key: value
        for key, value in document.items()
        if key not in _OWN_PARTS or (key == "agents" and not isinstance(value, list))
    }


def _agent_changes(
    old: dict[str, Agent], new: dict[str, Agent], dialects: Dialects
) -> Iterator[Change]:
    olds = match_agents(old, new)
    ranks = {name: rank for rank, name in enumerate(old)}
    kept = [name for name in new if name in olds]
    order = increasing([ranks[olds[name]] for name in kept])
    in_order = {kept[one] for one in order}
    for name, agent in new.items():
        if name not in olds:
            yield Change("added", "agent", agent.title, new_place=agent.place)
            continue
        before = old[olds[name]]
        places = before.place, agent.place
        names = before.name, name
        if before.name != name and before.has_name and agent.has_name:
            yield Change("renamed", "agent", agent.title, *places, *names)
        if name not in in_order:
            yield Change("moved", "agent", agent.title, *places)
        found = differences(_unnamed(before), _unnamed(agent), dialects)
        fields = tuple(_field(at, was, now, was, now) for at, was, now in found)
        if fields:
            yield Change("changed", "agent", agent.title, *places, fields=fields)
    gone = set(old).difference(olds.values())
    for name, agent in old.items():
        if name in gone:
            yield Change("removed", "agent", agent.title, agent.place)


def _unnamed(agent: Agent) -> Json:
    """Return what is said of an agent other than the name that it is known by."""
    if not isinstance(agent.value, dict):
        return {"value": agent.value}
    return {
        key: value
        for key, value in agent.value.items()
        if key != "name" or not agent.has_name
    }


# Nodes


def _node_changes(old: Outline, new: Outline, olds: list[int]) -> Iterator[Change]:
    """Yield the changes in the order of the new flow, then what is gone."""
    news = [-1] * len(old.nodes)
    for j, i in enumerate(olds):
        if i >= 0:
            news[i] = j
    came, went = _topmost(new, olds), _topmost(old, news)
    moved = _moved(old, new, olds)
    for j, i in enumerate(olds):
        if i >= 0:
            yield from _changes_of(old, new, i, j, is_moved=j in moved)
        elif j in came:
            node = new.nodes[j]
            at = {"new_place": node.place, "inside": came[j]}
            yield Change("added", "node", node.title, **at)  # type: ignore[arg-type]
    for i, inside in went.items():
        node = old.nodes[i]
        yield Change("removed", "node", node.title, node.place, inside=inside)


def _topmost(side: Outline, partners: list[int]) -> dict[int, int]:
    """Return the unmatched nodes in no other unmatched one, with how many are inside."""
    found: dict[int, int] = {}
    tops: dict[int, int] = {}
    for number, node in enumerate(side.nodes):
        if partners[number] < 0:
            tops[number] = tops.get(node.parent, number)
            if tops[number] == number:
                found[number] = 0
            else:
                found[tops[number]] += 1
    return found


def _moved(old: Outline, new: Outline, olds: list[int]) -> set[int]:
    """Return the new numbers of the nodes with another parent or another order."""
    found: set[int] = set()
    for j, i in enumerate(olds):
        if i < 0:
            continue
        here, there = old.nodes[i], new.nodes[j]
        parent = olds[there.parent] if there.parent >= 0 else -1
        is_below_new = there.parent >= 0 and parent < 0
        if is_below_new or here.parent != parent or here.arm != there.arm:
            found.add(j)
    for node in new.nodes:
        stayed = [
            child
            for child in node.children
            if olds[child] >= 0
            and child not in found
            and new.nodes[child].arm == LISTED
        ]
        order = increasing([olds[child] for child in stayed])
        if len(order) < len(stayed):
            found.update(set(stayed).difference(stayed[one] for one in order))
    return found


def _changes_of(
    old: Outline, new: Outline, i: int, j: int, *, is_moved: bool
) -> Iterator[Change]:
    here, there = old.nodes[i], new.nodes[j]
    places = here.place, there.place
    is_renamed = here.name != there.name and None not in (here.name, there.name)
    if is_renamed:
        names = here.name, there.name
        yield Change("renamed", "node", there.title, *places, *names)
    if is_moved:
        yield Change("moved", "node", there.title, *places)
    fields = tuple(
        _field(
            new.author_word(there.kind, name),
            here.fields.get(name, ABSENT),
            there.fields.get(name, ABSENT),
            old.normal(i).get(name, ABSENT),
            new.normal(j).get(name, ABSENT),
        )
        for name in changed_fields(old, i, new, j)
        if name != "name" or not is_renamed
    )
    if fields:
        yield Change("changed", "node", there.title, *places, fields=fields)


def _field(name: str, old: Json, new: Json, was: Any, now: Any) -> FieldChange:
    """Return the change of a field; `was` and `now` are its values as they are read."""
    old_text, new_text = shown_pair(was, now)
    old, new = (None if one is ABSENT else one for one in (old, new))
    return FieldChange(name, old, new, old_text, new_text)
