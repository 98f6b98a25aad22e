"""The engine at the limits of its store: a full Redis, the highest counters, chords to delete."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
import store_calls as calls
from flow_documents import at, fanout, let, lit, seq, step
from random_programs import QUEUES, program, spawners
from simulation_checks import check_attempts, check_empty
from store_boxes import Box, audit
from store_calls import begin

from engine.blueprint.program import MOST_ATTEMPTS, Agent, Retry
from engine.run.attempt.outcomes import lost_text
from engine.run.drive import folding, lanes
from engine.run.drive.chords import Waits, open_chord
from engine.store.base import ITEM_PAGE, Joined, Moved, Ref, Refused, StoreFull
from engine.store.record import MAX_COUNT, MOST_LOST
from engine.testing import Crash, Simulator

INC = step("inc", at("$.a"), "$.a")


def simulator(box: Box, agents: Any, **options: Any) -> Simulator:
    return Simulator(box.store, agents, **options)


@pytest.mark.parametrize("upload", [False, True])
def test_a_chain_waits_for_room_to_open_its_fanout(
    box: Box, upload: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def script(call: Any) -> Any:
        if len(agents["quick"].calls) == 1:
            box.fill()
        return call.input

    agents = spawners(script)
    made = simulator(box, agents, max_lost=0)
    items = ["x" * 300_000] if upload else [1, 2, 3]
    made.launch(program(seq(INC, fanout(lit(items), seq(INC, INC)), INC)), {"a": 1})
    for _ in range(60):
        made.turn()
        audit(box, "R-1")
    assert len(agents["quick"].calls) == 1
    # It has waited often, of which the journal has nothing and each worker's log a line.
    record = box.store.record("R-1:1", "0")
    assert record is not None
    assert record.seq >= 8
    kinds = [event[0] for event in made.events()]
    assert kinds == ["run_started", "pending", "started", "passed"]
    assert 1 <= sum("waits to open" in text for text in caplog.messages) <= 2
    box.make_room()
    assert made.run().status == "done"
    assert len(made.final()["out"]) == len(items)
    kinds = [event[0] for event in made.events()]
    assert kinds.count("opened") == 1
    assert "lost" not in kinds
    made.settle_down()
    check_attempts(made, agents)
    check_empty(box)


def test_items_of_a_chord_that_does_not_open_take_no_room(box: Box) -> None:
    begin(box)
    page = orjson.dumps(["x" * 600] * ITEM_PAGE)
    pages = [page] * 32
    opening = calls.opening(calls.spec(size=32 * ITEM_PAGE), pages=[])
    for _ in range(3):
        # Enough for the first of two uploads.
        box.fill(room=24 * len(page))
        with pytest.raises(StoreFull):
            open_chord(box.store, opening, pages)
        assert box.client.keys("swarm:s:r:R-1:1:[iu]*") == []
    box.make_room()
    assert open_chord(box.store, opening, pages) == Moved()
    assert box.store.items("R-1:1", calls.CHORD, 31) == page


def test_items_of_a_chord_that_may_not_open_go_away(box: Box) -> None:
    begin(box)
    box.store.finish("R-1", 1, "cancelled", "by a test")
    page = orjson.dumps(["x" * 6_000] * ITEM_PAGE)
    opening = calls.opening(pages=[])
    assert open_chord(box.store, opening, [page]) == Refused("over")
    assert box.store.items("R-1:1", f"{calls.CHORD}:{calls.A}", 0) == b"[]"


def test_a_chain_that_waits_tries_again_less_and_less_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waits, full = Waits(), StoreFull("full")

    def delays(place: str, *seqs: int) -> list[int]:
        return [waits.delay_ms(Ref("R-1", 1, "0"), n, place, full) for n in seqs]

    assert delays("/a", 5, 6, 7, 8, 9, 10) == [2000, 4000, 8000, 16000, 30000, 30000]
    # Another worker may have made the attempts between, and Redis may go back.
    assert delays("/b", 20, 23, 19) == [2000, 16000, 2000]
    assert len(caplog.messages) == 1


def test_a_loop_that_folds_its_ctx_keeps_one_base(box: Box) -> None:
    kept: list[int] = []

    def script(call: Any) -> Any:
        kept.append(bases(box))
        return {"n": call.input["n"] + 1, "x": "x" * 9_000}

    made = simulator(box, agents := spawners(script))
    grow = step("inc", at("$.a"), "$.a")
    lane = fanout(lit([1]), seq(grow, grow, grow, grow, grow, grow), out="$.lanes")
    made.launch(program(seq(*[grow] * 12, lane, *[grow] * 3)), {"a": {"n": 0}})
    assert made.run().status == "done"
    assert made.final()["a"]["n"] == len(agents["quick"].calls) - 6
    # The root's; a lane has one of its own while it lives.
    assert set(kept) == {1, 2}
    assert kept[-1] == 1


def bases(box: Box) -> int:
    """Return the number of stored bases of the run under test."""
    return int(box.client.hlen("swarm:s:r:R-1:1:b")) - 1


def stubborn(box: Box, agents: Any, policy: Retry, **options: Any) -> Simulator:
    """Return a run of one step whose agent has the retry `policy`."""
    made = simulator(box, agents, **options)
    agent = Agent("stubborn", "quick", QUEUES["quick"], 60_000, policy)
    caught = {"kind": "try", "body": step("stubborn", at("$.a"), "$.b")}
    caught |= {"catch": seq(), "err_at": at("$.e")}
    made.launch(program(caught, {"stubborn": agent}), {"a": 1})
    return made


def never(call: Any) -> Any:
    raise ValueError("never")


@pytest.mark.parametrize("base_ms", [0, 1])
def test_as_many_attempts_as_a_policy_may_allow_are_made(
    box: Box, base_ms: int
) -> None:
    assert MOST_ATTEMPTS == MAX_COUNT
    agents, policy = (
        spawners(never),
        Retry(max_attempts=MOST_ATTEMPTS, base_ms=base_ms, cap_ms=1),
    )
    made = stubborn(box, agents, policy)
    made.run(rounds=1_000)
    assert made.final()["e"] == "dispatcher error for ref 'stubborn': never"
    assert len(agents["quick"].calls) == MOST_ATTEMPTS
    check_attempts(made, agents)


def test_a_program_from_before_the_ceiling_ends_as_well(box: Box) -> None:
    agents = spawners(never)
    stubborn(box, agents, Retry(max_attempts=1_000, base_ms=0)).run(rounds=1_000)
    assert len(agents["quick"].calls) == MOST_ATTEMPTS


def test_as_many_workers_as_a_cap_may_allow_are_lost(box: Box) -> None:
    def script(call: Any) -> Any:
        raise Crash

    agents = spawners(script)
    made = stubborn(box, agents, Retry(), max_lost=MOST_LOST)
    made.run(rounds=2_000)
    text = f"dispatcher error for ref 'stubborn': {lost_text(98, None)}"
    assert made.final()["e"] == text
    assert len(agents["quick"].calls) == MOST_LOST + 1


def test_a_run_of_nested_fanouts_leaves_no_field_of_what_was_joined(box: Box) -> None:
    made = simulator(box, spawners())
    inner = fanout(lit([1, 2]), seq(INC, INC), out="$.inner")
    made.launch(program(seq(fanout(lit([3, 4]), seq(INC, inner)), INC)), {"a": 1})
    assert made.run().status == "done"
    assert [len(lane["inner"]) for lane in made.final()["out"]] == [2, 2]
    assert box.fields("R-1") == set()


def chords_kept(box: Box) -> tuple[int, int, int]:
    """Return how much a store has of a run and its chords.

    That is keys of chords and records of lanes; bytes; and decisions that tell losers.
    """
    view = box.view("R-1")
    assert view is not None
    keys = box.client.keys("swarm:s:r:R-1:1*")
    of_chords = [key for key in keys if b":i:" in key or b":k:" in key]
    logs = [key for key in keys if b":l:" in key]
    return (
        len(of_chords) + len(logs) + len(view.chains),
        sum(map(box.client.memory_usage, keys)),
        len(view.decided),
    )


ROUNDS = 40
INNER = fanout(lit([1, 2]), INC, out="$.inner")
ANY = fanout(lit([1, 2]), INC, "any", out="$.inner")
FAILS = seq(INC, INNER, step("odd", lit(1), "$.b"))


@pytest.mark.parametrize(
    ("join", "body"),
    [
        # Nested chords go away with what they are nested in.
        ("all", seq(INC, INNER, let("$.inner", lit(1)))),
        ("all", seq(INC, ANY)),
        ("all", FAILS),
        ("all_settled", FAILS),
        ("any", INC),
        ("any", seq(INC, INNER, INC)),
        ("any", seq(INC, ANY, INC)),
        ("race", INC),
        ("race", seq(INC, INNER, INC)),
    ],
)
def test_a_loop_around_a_fanout_keeps_no_more_in_later_rounds(
    box: Box, join: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 400)
    # On a machine that has much to do lanes take so long that they are committed earlier.
    monkeypatch.setattr(lanes, "SECONDS", math.inf)
    kept: list[tuple[int, int, int]] = []

    def script(call: Any) -> Any:
        if call.agent.name == "far":
            audit(box, "R-1")
            kept.append(chords_kept(box))
        if call.agent.name == "odd":
            raise ValueError
        return 1

    made = simulator(box, spawners(script))
    forked = {
        "kind": "try", "body": fanout(lit([1, 2, 3]), body, join), "catch": seq(),
        "err_at": at("$.e"),
    }  # fmt: skip
    round_ = seq(forked, let("$.out", lit(1)), step("far", lit(1), "$.b"))
    loop = {
        "kind": "loop", "counter": at("$.i"), "cond": lit(True), "max": ROUNDS,
        "body": round_,
    }  # fmt: skip
    made.launch(program(loop), {"a": 1})
    assert made.run().status == "done"
    assert made.final()["i"] == ROUNDS
    early, late = kept[: ROUNDS // 2], kept[ROUNDS // 2 :]
    # With records of lanes and keys of some chords, of those since the last fold.
    assert max(late)[0] <= max(early)[0] < 2 * ROUNDS
    written = max(written for _, _, written in kept)
    # A small field stays for each decision: of the fanout, or of those in its three lanes.
    assert written <= (3 * ROUNDS if join == "all" else ROUNDS)
    # Where a round is folded depends a little on the machine; a chord that stayed from
    # each late round would add a third.
    assert max(size - 100 * written for _, size, written in late) <= 1.2 * max(
        size for _, size, _ in early
    )


@pytest.mark.parametrize("tries", [False, True])
def test_results_that_left_the_ctx_leave_the_store(box: Box, tries: bool) -> None:
    kept: list[int] = []

    def script(call: Any) -> Any:
        if call.agent.name == "far":
            audit(box, "R-1")
            kept.append(chords_kept(box)[1])
        return 1

    forked = fanout(lit(list(range(200))), INC)
    if tries:
        # The try begins where the fanout does, and fails after it once in a while.
        fails = {
            "kind": "branch", "cond": {"op": "eq", "lhs": at("$.i"), "rhs": lit(7)},
            "then": step("odd", at("$.nothing"), "$.b"), "else": seq(),
        }  # fmt: skip
        forked = {
            "kind": "try", "body": seq(forked, fails), "catch": seq(),
            "err_at": at("$.e"),
        }  # fmt: skip
    made = simulator(box, spawners(script))
    loop = {
        "kind": "loop", "counter": at("$.i"), "cond": lit(True), "max": 16,
        "body": seq(let("$.out", lit(1)), forked, step("far", lit(1), "$.b")),
    }  # fmt: skip
    made.launch(program(loop), {"a": 1})
    assert made.run().status == "done"
    assert made.final()["i"] == 16
    assert len(made.final()["out"]) == 200
    assert ("e" in made.final()) is tries
    assert max(kept[8:]) <= 1.1 * max(kept[:8])


@pytest.mark.parametrize("join", ["all", "any"])
def test_an_unreferenced_chord_is_dropped_and_its_losers_stay_out(
    box: Box, join: str
) -> None:
    begin(box)
    store = box.store
    opening = calls.opening(calls.spec(size=2, mode=join))
    assert store.open_chord(opening) == Moved()
    for lane in range(2 if join == "all" else 1):
        store.claim(calls.ref(f"{calls.CHORD}.{lane}"), calls.B, calls.LUA)
        decides = join == "any"
        joined = store.settle(calls.settling(lane, decides=decides))
    assert isinstance(joined, Joined)
    move = calls.move(
        seq=joined.record.seq,
        by=calls.B,
        offset=0,
        base=("c" * 16, b"{}"),
        consumed=calls.CHORD,
        unreferenced=[calls.CHORD],
    )
    assert isinstance(store.commit(move), Moved)
    # Sent again after a lost reply it drops nothing more.
    assert isinstance(store.commit(move), Moved)
    assert store.chord("R-1:1", calls.CHORD) is None
    assert store.items("R-1:1", calls.CHORD, 0) == b"[]"
    assert store.results("R-1:1", calls.CHORD, 0, 2) == {}
    assert store.decided("R-1:1", calls.CHORD) == (None if join == "all" else "0")
    late = store.claim(calls.ref(f"{calls.CHORD}.1"), calls.C, calls.LUA)
    assert late == Refused("gone" if join == "all" else "closed")
    view = box.view("R-1")
    assert view is not None
    assert set(view.chains) == {"0"}
    assert not view.chords
