"""Which agent of a new document is which agent of an old one."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.blueprint.comparison.values import leaves_of
from engine.flow.json_text import Json

# Two agents with other names are one agent if they share this part of what they say.
_NEAR: Final = 0.5
# What more agents say does not tell which one it is.
_MOST_CANDIDATES: Final = 16
Leaves: TypeAlias = Mapping[str, set[tuple[str, str]]]
"""What agents say, by their names."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent with its name; one without a name of its own is called by its place."""

    name: str
    place: str
    value: Json

    @property
    def title(self) -> str:
        """What people call it."""
        return f"agent '{self.name}'" if self.has_name else f"agent at {self.place}"

    @property
    def has_name(self) -> bool:
        """Whether it has a name, and that alone."""
        return self.name != self.place


def agents_of(document: Json) -> dict[str, Agent]:
    """Return the agents of a document by name, in its order."""
    listed = document.get("agents") if isinstance(document, dict) else None
    found: dict[str, Agent] = {}
    for n, value in enumerate(listed if isinstance(listed, list) else ()):
        name = value.get("name") if isinstance(value, dict) else None
        place = f"$.agents[{n}]"
        if not isinstance(name, str) or name in found:
            name = place
        found[name] = Agent(name, place, value)
    return found


def match_agents(old: dict[str, Agent], new: dict[str, Agent]) -> dict[str, str]:
    """Return the old name of each agent of a new document that was in the old one.

    What is left after the names is matched by what the agents say, the most alike first.
    """
    found = {name: name for name in new if name in old}
    gone = {name: _leaves(old[name]) for name in old if name not in found}
    came = {name: _leaves(new[name]) for name in new if name not in found}
    taken: set[str] = set()
    for _, was, name in sorted(_alike(gone, came), key=lambda one: -one[0]):
        if was not in taken and name not in found:
            taken.add(was)
            found[name] = was
    return found


def _alike(gone: Leaves, came: Leaves) -> Iterator[tuple[float, str, str]]:
    """Yield how alike two agents are that are near, with the old and the new name."""
    said: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, leaves in gone.items():
        for leaf in leaves:
            said[leaf].append(name)
    for name, leaves in came.items():
        shared: Counter[str] = Counter()
        for leaf in leaves:
            # Of very many agents that say this the first ones are as good as any.
            shared.update(said.get(leaf, ())[:_MOST_CANDIDATES])
        for was, count in shared.items():
            like = count / (len(gone[was]) + len(leaves) - count)
            if like >= _NEAR:
                yield like, was, name


def _leaves(agent: Agent) -> set[tuple[str, str]]:
    """Return what an agent says, other than its name."""
    return {leaf for leaf in leaves_of(agent.value) if leaf[0] != ".name"}
