"""The verdict contracts of the agents whose answers conditions look at."""

from collections.abc import Iterator, Mapping

from engine.blueprint.binding import BoundAgent
from engine.blueprint.dataflow import Test
from engine.blueprint.schema_agents import VerdictContract
from engine.blueprint.view import View


def contracts_of(view: View, test: Test) -> Mapping[str, VerdictContract]:
    """Returns the contracts of those who may have answered, sorted by agent.

    Empty as soon as one of them has none: then nothing can be said.
    """
    found: dict[str, VerdictContract] = {}
    for ref in sorted(test.producers):
        one = view.agents.get(ref)
        if one is None or one.agent.verdict is None:
            return {}
        found[ref] = one.agent.verdict
    return found


def contract_agents(view: View) -> Iterator[tuple[BoundAgent, VerdictContract]]:
    """Yields the agents with a contract that a step names, sorted by name."""
    used = {spot.node["ref"] for spot in view.steps}
    for name in sorted(view.agents):
        one = view.agents[name]
        if name in used and one.agent.verdict is not None:
            yield one, one.agent.verdict


def verdict_place(one: BoundAgent) -> str:
    """Returns the place of an agent's contract."""
    return f"{one.place}.verdict"
