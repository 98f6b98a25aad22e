"""A fanout of 10 000 lanes that read a Ctx of 100 KB: stored small, joined right."""

from typing import Any

import pytest
from fault_installation import AGENTS, Installation, agent, fanout
from flow_documents import at, seq
from store_server import server_figure

from engine.flow import evaluate, parse_node

LANES = 10_000
SAMPLES = (0, 1, 4999, 7777, 9999)


def ctx() -> dict[str, Any]:
    """Return a Ctx of about 100 KB."""
    return {"n": 0, "big": [f"line {i} of the document" for i in range(3500)]}


LOOK = {
    "kind": "step",
    "ref": "look",
    "in": at("$"),
    "out": at("$.seen"),
}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("join", ["all", "race"])
def test_ten_thousand_lanes_fit_in_little_memory(
    installation: Installation, join: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = seq(fanout(list(range(LANES)), LOOK, join))
    installation.worker()
    agents = {**AGENTS, "look": agent("look", "fault-look")}
    [run] = installation.launch(flow, ctx(), **agents)
    assert installation.wait([run], 200) == {run: "done"}
    peak = server_figure(installation.store, "memory", "used_memory_peak")
    got = installation.ctx(run)

    def look(_: str, value: Any) -> Any:
        return [value["n"], len(value["big"])]

    if join == "all":
        want = evaluate(parse_node(fanout(list(SAMPLES), LOOK)), ctx(), look)["out"]
        assert len(got["out"]) == LANES
        assert [got["out"][i] for i in SAMPLES] == want
    else:
        lane = got["out"]["n"]
        [want] = evaluate(parse_node(fanout([lane], LOOK)), ctx(), look)["out"]
        assert got["out"] == want
        installation.until(
            lambda: int(installation.store.wire.call("ZCARD", "swarm:s:leases")),
            lambda n: n == 0,
            20,
        )
        ended = [e for _, e in installation.events([run]) if e[0] == "passed"]
        # Losers stop: what ran is the winner and what was in hand beside it.
        assert len(ended) <= 4
    stored = sum(
        int(installation.store.wire.call("MEMORY", "USAGE", key) or 0)
        for key in installation.store.wire.call("KEYS", f"swarm:s:r:{run}*")
    )
    with capsys.disabled():
        print(
            f"\n{join}: run stored in {stored / 1e6:.1f} MB, peak {peak / 1e6:.1f} MB"
        )
    assert peak < 200_000_000
