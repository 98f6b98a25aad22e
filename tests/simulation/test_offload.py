"""A run ends the same wherever its large values are kept."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from flow_documents import at, fanout, let, lit, seq, step
from followed_runs import FlakyOutputs, FollowedRun, replayed, run_and_follow
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import program, spawners
from random_runs import CHAOS, CONTEXTS, made
from simulation_checks import check_end, text
from store_boxes import Box, audit

from engine.flow import DIALECTS, Dialect
from engine.run.chain.outputs import NEVER
from engine.run.drive import chords, folding, lanes
from engine.run.journal.entries import read_entry
from engine.run.limits import Limits
from engine.run.states import FINAL_RUN
from engine.store.record import ChainState
from engine.testing import MemoryOutputStore, Simulator

PARTS = 6
SCHEDULES = 120
INLINE = (0, 30, 16 << 10, NEVER)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_replay_follows_values_that_are_kept_elsewhere(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int, dialect: Dialect
) -> None:
    referred = 0
    for seed in range(part, SCHEDULES, PARTS):
        dice = random.Random(f"offload {seed}")
        found, ctx, outputs = (
            made(seed, dialect),
            CONTEXTS[dialect],
            MemoryOutputStore(),
        )
        entries = run_and_follow(
            box, seed, monkeypatch, found, ctx,
            chaos=CHAOS[seed % len(CHAOS)], max_lost=1 if seed % 2 else 90,
            outputs=outputs,
            limits=Limits(
                steps=dice.choice((0, 2, 100)), inline_bytes=dice.choice((0, 30))
            ),
        )  # fmt: skip
        contents = [read_entry(entry) for entry in entries]
        referred += sum(len(content.outputs) for content in contents)
        kept = {name for name, _ in outputs.stamps("")}
        # Retention goes by the journal: it names all that the run has put.
        named = {ref["sha256"] for one in contents for ref in one.outputs}
        assert named <= kept
        assert replayed(found, ctx, entries, outputs).state.kept.number == len(entries)
    assert referred > 10


def ended(
    box: Box, seed: int, dialect: Dialect, inline_bytes: int
) -> tuple[str, list[str] | None, bytes]:
    """Run a program to its end; return its status, its error and its final Ctx."""
    box.empty()
    dice = random.Random(f"ends {seed}")
    bounds = Limits(steps=dice.choice((0, 1, 2, 100)), inline_bytes=inline_bytes)
    simulator = Simulator(
        box.store, spawners(), seed=seed, limits=bounds, outputs=MemoryOutputStore(),
        fuel_nodes=dice.choice((1, 3, 20_000)),
    )  # fmt: skip
    found, ctx = made(seed, dialect), CONTEXTS[dialect]
    simulator.launch(found, ctx)
    head = simulator.run()
    check_end(simulator, found, ctx)
    return head.status, simulator.error(), text(simulator.final())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_end_of_a_run_is_the_same_for_every_inline_limit(
    monkeypatch: pytest.MonkeyPatch, box: Box, dialect: Dialect
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(
        seed=st.integers(0, 1 << 32),
        fold_at=st.sampled_from((20, 300, 16 << 10)),
        batch=st.sampled_from((1, 2, 4)),
    )
    def check(seed: int, fold_at: int, batch: int) -> None:
        monkeypatch.setattr(folding, "FOLD_AT", fold_at)
        monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
        ends: list[Any] = [ended(box, seed, dialect, limit) for limit in INLINE]
        assert ends[1:] == ends[:-1]

    check()


def test_a_replay_counts_a_reference_as_the_run_did(
    monkeypatch: pytest.MonkeyPatch, box: Box
) -> None:
    bounds = Limits(ctx_bytes=1_000, input_bytes=400, inline_bytes=30)
    journal = b""
    for seed in range(60):
        found, ctx, outputs = (
            made(seed, "swarm"),
            CONTEXTS["swarm"],
            MemoryOutputStore(),
        )
        entries = run_and_follow(
            box, seed, monkeypatch, found, ctx, limits=bounds, outputs=outputs
        )
        journal += b"".join(entry.data for entry in entries)
        assert replayed(found, ctx, entries, outputs).state.kept.number == len(entries)
    assert b"larger than SWARM_CTX_LIMIT" in journal
    assert b"larger than SWARM_INPUT_LIMIT" in journal


@pytest.mark.parametrize("part", range(PARTS))
def test_outputs_that_are_away_delay_a_run_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int
) -> None:
    monkeypatch.setattr(lanes, "AWAY_S", 0)
    refused = 0
    for seed in range(part, 2 * SCHEDULES, PARTS):
        dialect = DIALECTS[seed % len(DIALECTS)]
        dice = random.Random(f"away {seed}")
        found, ctx, outputs = made(seed, dialect), CONTEXTS[dialect], FlakyOutputs(dice)
        agents = spawners()
        entries = run_and_follow(
            box, seed, monkeypatch, found, ctx, chaos=CHAOS[seed % len(CHAOS)],
            agents=agents, outputs=outputs,
            limits=Limits(steps=dice.choice((0, 2, 100)), inline_bytes=0),
        )  # fmt: skip
        refused += outputs.refused
        made_twice = Counter(
            (call.place, call.attempt) for one in agents.values() for call in one.calls
        )
        # The outcome of an attempt is kept while its outputs wait.
        if CHAOS[seed % len(CHAOS)] in CHAOS[:2]:
            assert set(made_twice.values()) <= {1}, made_twice.most_common(3)
        assert replayed(found, ctx, entries, outputs).state.kept.number
    assert refused > 20


def test_what_is_put_before_a_wait_for_room_is_in_the_journal(box: Box) -> None:
    flow = seq(
        step("inc", at("$.a"), "$.a"),
        let("$.x", lit(1)),
        let("$.x", lit(2)),
        # With two nodes of fuel a transition begins here, and no event is before the wait.
        let("$.b", lit("made before the wait")),
        fanout(lit([1, 2, 3]), step("inc", at("$.a"), "$.c")),
    )
    found, ctx, outputs = program(flow), {"a": 1}, MemoryOutputStore()
    bounds = Limits(steps=0, inline_bytes=0)
    followed = FollowedRun(box, found, ctx, bounds, outputs=outputs)
    simulator = Simulator(
        box.store, spawners(), seed=1, limits=bounds, outputs=outputs, fuel_nodes=2
    )
    simulator.launch(found, ctx)
    waited = 0
    box.fill()
    try:
        for turn in range(80):
            view = audit(box, "R-1")
            assert view is not None
            followed.check(view)
            waited += view.chains["0"].state is ChainState.WAITING
            if view.status in FINAL_RUN:
                break
            if turn == 30:
                box.make_room()
            simulator.turn()
    finally:
        box.make_room()
    assert waited > 5
    assert text(followed.replay.ctx()) == text(simulator.final())
