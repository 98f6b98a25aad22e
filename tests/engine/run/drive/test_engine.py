"""The engine: poisoned chains, pauses, folds, limits, caches."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flow_documents import at, fanout, let, lit, seq, step
from random_programs import AGENTS, QUEUES, program, spawners
from simulated_runs import ended

from engine.blueprint.program import Agent, Retry
from engine.run.attempt.outcomes import Outcome, lost_text
from engine.run.chain.ctx import Lanes
from engine.run.drive import folding
from engine.run.drive.joins import Vanished
from engine.run.drive.load import Loader
from engine.run.limits import Limits
from engine.store.base import MoveKind, Ref
from engine.testing import Crash, ScriptedSpawner, Simulator
from workers.pytest_plugin import MakeSimulator

INC = step("inc", at("$.a"), "$.a")


def simulator(swarm_simulator: MakeSimulator, **options: Any) -> Simulator:
    return swarm_simulator(options.pop("spawners", None) or spawners(), **options)


def kinds(made: Simulator) -> list[str]:
    return [event[0] for event in made.events()]


class Killer:
    """Kills its worker whenever a method is called while it is armed."""

    def __init__(self, made: Simulator, name: str, spared: Any = None) -> None:
        self.armed, self.deaths = True, 0
        inner = getattr(made.store, name)

        def kill(*args: Any) -> Any:
            if self.armed and spared not in args:
                self.deaths += 1
                raise Crash
            return inner(*args)

        setattr(made.store, name, kill)


CAUGHT = {
    "kind": "try", "body": fanout(lit([1, 2]), INC), "catch": seq(), "err_at": at("$.e"),
}  # fmt: skip


def test_a_join_that_kills_every_worker_fails_the_flow_there(
    swarm_simulator: MakeSimulator,
) -> None:
    made = simulator(swarm_simulator, max_lost=2)
    made.launch(program(CAUGHT), {"a": 1})
    killer = Killer(made, "decided")
    assert made.run(rounds=300).status == "done"
    assert killer.deaths == 3
    assert made.final() == {"a": 1, "e": lost_text(3, None)}
    assert ["raised", "/body", "Lost", lost_text(3, None)] in list(made.events())


def test_a_lane_that_kills_every_worker_fails_alone(
    swarm_simulator: MakeSimulator,
) -> None:
    def script(call: Any) -> Any:
        if call.input == 2:
            raise Crash
        return call.input

    made = simulator(swarm_simulator, spawners=spawners(script), max_lost=2)
    flow = fanout(lit([1, 2, 3]), step("inc", at("$.item"), "$.b"), "all_settled")
    made.launch(program(flow), {})
    assert made.run(rounds=500).status == "done"
    states = [lane["status"] for lane in made.final()["out"]]
    assert states == ["fulfilled", "rejected", "fulfilled"]
    assert "lost after 3 attempts" in made.final()["out"][1]["reason"]


def test_a_chain_that_can_not_even_be_loaded_ends_as_lost(
    swarm_simulator: MakeSimulator,
) -> None:
    made = simulator(swarm_simulator, max_lost=1)
    made.launch(program(INC), {"a": 1})
    Killer(made, "base", spared=program(INC).program_id)
    assert made.run(rounds=300).status == "failed"
    assert made.error() == ["Lost", lost_text(4, None)]


def test_a_lane_that_can_not_be_loaded_ends_as_lost(
    swarm_simulator: MakeSimulator,
) -> None:
    made = simulator(swarm_simulator, max_lost=1, limits=Limits(steps=0))
    flow = seq(fanout(lit([1]), seq(INC, INC), "all_settled"))
    made.launch(program(flow), {"a": 1})
    killer = Killer(made, "items")
    killer.armed = True
    assert made.run(rounds=500).status == "done"
    assert killer.deaths > 2


def test_an_end_during_a_pause_is_reported_when_it_is_over(
    swarm_simulator: MakeSimulator,
) -> None:
    made = simulator(swarm_simulator)
    made.launch(program(INC), {"a": 1})
    store, inner = made.store, made.store.commit

    def pausing(move: Any) -> Any:
        if move.kind is MoveKind.END:
            store.pause("R-1")
        return inner(move)

    store.commit = pausing  # type: ignore[method-assign]
    made.turn()
    assert "run_done" not in kinds(made)
    store.commit = inner  # type: ignore[method-assign]
    assert store.resume("R-1") == "ok"
    assert made.run().status == "done"
    assert kinds(made).count("run_done") == kinds(made).count("passed") == 1


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("in_process", [True, False])
def test_without_a_budget_every_step_is_its_own_delivery(
    swarm_simulator: MakeSimulator, steps: int, in_process: bool
) -> None:
    body = seq(INC, INC)
    agents = spawners()
    agents["quick"].in_process = in_process
    made = ended(swarm_simulator, 
        seq(INC, INC, fanout(lit([1] * 40), body)), {"a": 1}, spawners=agents,
        limits=Limits(steps=steps, consumers=1),
    )  # fmt: skip
    assert made.final()["out"][39]["a"] == 5
    deliveries = [line for line in made.actions if line.startswith("worker")]
    assert len(deliveries) >= len(agents["quick"].calls) == 82


def test_a_paused_batch_gives_back_what_it_has_not_begun(
    swarm_simulator: MakeSimulator,
) -> None:
    ran: list[int] = []

    def script(call: Any) -> Any:
        ran.append(call.input)
        if len(ran) == 16:
            made.store.pause("R-1")
        return call.input

    made = simulator(
        swarm_simulator, spawners=spawners(script), limits=Limits(consumers=1)
    )
    flow = fanout(lit(list(range(256))), step("inc", at("$.item"), "$.b"))
    made.launch(program(flow), {})
    made.turn()
    made.turn()
    assert 16 <= len(ran) <= 32
    assert made.store.resume("R-1") == "ok"
    assert made.run().status == "done"
    assert sorted(ran) == list(range(256))


def test_a_folded_lane_writes_its_joins_by_value(
    swarm_simulator: MakeSimulator, monkeypatch: Any
) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 1)
    inner = fanout(lit([1, 2]), let("$.x", at("$.item")), out="$.inner")
    body = seq(*[INC] * 12, inner, let("$.copy", at("$.inner")), INC)
    made = ended(
        swarm_simulator,
        seq(fanout(lit([5]), body), let("$.z", at("$.out")), INC),
        {"a": 0},
    )
    lane = made.final()["out"][0]
    assert [each["x"] for each in lane["inner"]] == [1, 2]
    assert lane["copy"] == lane["inner"]
    assert made.final()["z"] == made.final()["out"]


def test_a_lane_may_copy_what_was_joined_before_it(
    swarm_simulator: MakeSimulator,
) -> None:
    first = fanout(lit([1, 2]), INC, out="$.first")
    body = seq(let("$.mine", at("$.first")), INC)
    made = ended(swarm_simulator, seq(first, fanout(lit([1]), body), INC), {"a": 0})
    assert made.final()["out"][0]["mine"] == made.final()["first"]


def test_a_join_inside_the_winning_lane_can_be_copied(
    swarm_simulator: MakeSimulator,
) -> None:
    inner = fanout(lit([1, 2]), INC, out="$.inner")
    flow = seq(fanout(lit([1]), inner, "race"), INC, let("$.c", at("$.out.inner")), INC)
    made = ended(swarm_simulator, flow, {"a": 0}, limits=Limits(steps=0))
    assert made.final()["c"] == made.final()["out"]["inner"]


def test_a_big_fanout_shares_its_base_and_is_stored_by_reference(
    swarm_simulator: MakeSimulator,
) -> None:
    made = ended(
        swarm_simulator,
        seq(fanout(lit(list(range(5_000))), let("$.x", at("$.item"))), INC),
        {"a": 1, "big": ["x" * 100] * 100},
    )
    final = made.final()
    assert isinstance(final["out"], Lanes)
    assert len(final["out"]) == 5_000
    assert all(lane["big"] is final["out"][0]["big"] for lane in final["out"])
    record = made.store.record("R-1:1", "0")
    assert record is not None
    assert record.loglen < 200


@pytest.mark.parametrize("where", ["root", "lane", "batched"])
def test_a_ctx_over_its_limit_ends_the_chain(
    swarm_simulator: MakeSimulator, where: str
) -> None:
    grow = let("$.b", lit("x" * 500))
    flow = (
        grow
        if where == "root"
        else fanout(lit([1]), seq(grow) if where == "batched" else seq(INC, grow))
    )
    made = ended(swarm_simulator, flow, {"a": 1}, limits=Limits(ctx_bytes=400))
    error = made.error()
    assert error is not None
    assert error[0] == "CtxLimit"


def test_items_over_the_limit_end_the_chain(swarm_simulator: MakeSimulator) -> None:
    made = ended(
        swarm_simulator,
        fanout(lit(["x" * 50] * 50), INC),
        limits=Limits(input_bytes=1_000),
    )
    error = made.error()
    assert error is not None
    assert error[0] == "InputLimit"


def test_a_timeout_reported_by_the_keeper_is_retried(
    swarm_simulator: MakeSimulator,
) -> None:
    agent = Agent(
        "slow", "quick", QUEUES["quick"], 60_000, Retry(max_attempts=2, base_ms=0)
    )
    made = simulator(swarm_simulator, spawners=spawners(lambda call: call.attempt))
    flow = program(step("slow", lit(1), "$.n"), {"slow": agent})
    made.launch(flow, {})
    store = made.store
    claimed = store.claim(Ref("R-1", 1, "0"), "a" * 12, QUEUES["quick"])
    outcome = Outcome("timed_out", text="timed out after 60 s").pack()
    assert store.signal(Ref("R-1", 1, "0"), 0, "a" * 12, outcome) == "ok"
    assert made.run().status == "done"
    assert made.final() == {"n": 2}
    assert claimed


def test_what_a_spawner_is_given_names_the_step(swarm_simulator: MakeSimulator) -> None:
    agents = spawners()
    ended(swarm_simulator, seq(INC, INC), spawners=agents)
    first, second = agents["quick"].calls
    assert (first.run, first.line, first.place) == ("R-1", 1, "/children/0")
    assert first.step_id.startswith("ST-")
    assert first.step_id != second.step_id
    assert (first.attempt, first.timeout_s, first.agent) == (1, 60.0, AGENTS["inc"])


def test_programs_bases_and_chords_are_read_once(
    swarm_simulator: MakeSimulator,
) -> None:
    made = ended(swarm_simulator, fanout(lit([1, 2]), INC))
    head, record = made.store.head("R-1"), made.store.record("R-1:1", "0")
    assert head is not None
    assert record is not None
    loader, reads = Loader(made.store), []
    chord = next(k for k in ("0.k0", "0.k1") if made.store.chord("R-1:1", k))
    for name in ("base", "chord"):
        inner = getattr(made.store, name)

        def counted(run: str, key: str, inner: Any = inner) -> Any:
            reads.append(key)
            return inner(run, key)

        setattr(made.store, name, counted)
    for _ in range(3):
        prepared = loader.prepared("R-1:1", head.program_id)
        loader.chain(Ref("R-1", 1, "0"), prepared, record)
        loader.spec("R-1:1", chord)
    # A program is a blob as a base is.
    assert sorted(reads) == sorted({head.program_id, record.base_id, chord})


def test_a_run_that_is_gone_has_vanished(swarm_simulator: MakeSimulator) -> None:
    made = ended(swarm_simulator, INC)
    head, record = made.store.head("R-1"), made.store.record("R-1:1", "0")
    assert head is not None
    assert record is not None
    prepared = Loader(made.store).prepared("R-1:1", head.program_id)
    made.store.remove("R-1:1")
    loader = Loader(made.store)
    with pytest.raises(Vanished):
        loader.chain(Ref("R-1", 1, "0"), prepared, record)
    with pytest.raises(Vanished):
        loader.prepared("R-1:1", head.program_id)
    with pytest.raises(Vanished):
        loader.spec("R-1:1", "0.k1")


def test_an_entry_is_one_json_object(swarm_simulator: MakeSimulator) -> None:
    made = ended(swarm_simulator, seq(INC, CAUGHT))
    for entry in made.entries():
        assert set(orjson.loads(entry.data)) <= {"a", "s", "w", "e"}
    assert ScriptedSpawner([]).calls == []
