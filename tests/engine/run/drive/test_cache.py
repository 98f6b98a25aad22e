"""The caches of a process are bounded by bytes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from flow_documents import at, fanout, let, lit, seq, step
from random_programs import program, spawners

from engine.run.chain.ctx import TooLarge
from engine.run.drive import folding
from engine.run.drive.cache import ENTRY_BYTES, Cache
from engine.run.drive.load import Loader
from engine.store.base import ROOT, Ref
from workers.pytest_plugin import MakeSimulator

INC = step("inc", lit(1), "$.a")


def test_what_was_not_used_for_longest_leaves_when_the_bytes_are_used_up() -> None:
    cache = Cache(3 * (100 + ENTRY_BYTES))
    for key in "abc":
        cache.put(key, key.upper(), 100)
    assert cache.get("a", lambda: ("new", 100)) == "A"
    cache.put("d", "D", 100)
    assert [cache.find(key) for key in "abcd"] == ["A", None, "C", "D"]
    # One large entry takes the room of many.
    cache.put("e", "E", 2 * (100 + ENTRY_BYTES))
    assert cache.find("e") == "E"
    assert cache.kept.currsize <= 3 * (100 + ENTRY_BYTES)
    assert cache.find("a") is None


def test_what_is_larger_than_the_cache_is_used_and_not_kept() -> None:
    cache, made = Cache(1_000), []

    def make() -> tuple[str, int]:
        made.append(1)
        return "large", 2_000

    assert [cache.get("a", make) for _ in range(2)] == ["large", "large"]
    assert len(made) == 2
    cache.put("b", 1, 10)
    cache.put("b", 2, 2_000)
    assert cache.find("b") is None


def loaded(
    swarm_simulator: MakeSimulator, flow: Any, runs: int, ctx: Any, **options: Any
) -> tuple[Loader, list[Any]]:
    """Run a flow some times; read each final Ctx with one loader."""
    made = swarm_simulator(spawners())
    loader, found = Loader(made.store, **options), []
    for number in range(runs):
        name = f"R-{number}"
        made.launch(program(flow), ctx, name)
        made.run(name)
        ref = Ref(name, 1, ROOT)
        head, record = made.store.head(name), made.store.record(ref.key, ROOT)
        assert head is not None
        assert record is not None
        prepared = loader.prepared(ref.key, head.program_id)
        chain = loader.chain(ref, prepared, record)
        found.append(chain.doc.value)
    return loader, found


def test_bases_of_many_runs_stay_within_the_bytes(
    swarm_simulator: MakeSimulator,
) -> None:
    most = 1 << 20
    ctx = {"text": "x" * 200_000}
    loader, found = loaded(swarm_simulator, INC, 20, ctx, cache_bytes=most)
    assert all(one["text"] == ctx["text"] for one in found)
    assert most // 2 < loader.cache.kept.currsize <= most


def test_joined_lanes_count_among_the_bytes(swarm_simulator: MakeSimulator) -> None:
    inner = fanout(lit([1]), seq(INC, INC), out="$.inner")
    flow = seq(
        fanout(lit(["x" * 10_000] * 40), INC, out="$.wide"),
        fanout(lit([1, 2]), seq(INC, inner), out="$.out"),
    )
    made = swarm_simulator(spawners())
    made.launch(program(flow), {})
    made.run()
    sizes = [engine.loader.cache.kept.currsize for engine in made._engines]
    # The lanes of the second fanout start from the joined lanes of the first.
    assert max(sizes) > 2 * 40 * 10_000


def test_a_ctx_made_of_more_than_may_be_read_is_refused(
    swarm_simulator: MakeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fold would drop the results that have left the Ctx.
    monkeypatch.setattr(folding, "FOLD_AT", math.inf)
    round_ = seq(fanout(at("$.items"), INC, out="$.wide"), let("$.wide", lit(1)))
    flow = {
        "kind": "loop", "counter": at("$.i"), "cond": lit(True), "max": 5,
        "body": round_,
    }  # fmt: skip
    ctx = {"items": ["x" * 1_000] * 100}
    _, [found] = loaded(swarm_simulator, flow, 1, ctx)
    assert found["wide"] == 1
    _, [found] = loaded(swarm_simulator, flow, 1, ctx, most_joined=1_000_000)
    assert found["wide"] == 1
    with pytest.raises(TooLarge):
        loaded(swarm_simulator, flow, 1, ctx, most_joined=250_000)
