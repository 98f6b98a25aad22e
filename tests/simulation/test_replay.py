"""A replay rebuilds every run as the store has it, whatever has happened to it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from flow_documents import at, fanout, lit, seq, step
from followed_runs import FollowedRun, replayed, run_and_follow
from random_programs import program, spawners
from random_runs import CHAOS, CONTEXTS, made
from simulation_checks import text
from store_boxes import Box, audit

from engine.blueprint.program import Program
from engine.flow import Dialect
from engine.ports import StepCall
from engine.run.journal.entries import STEP_ENDS, read_entry
from engine.run.limits import Limits
from engine.run.replay import Replay
from engine.run.replay.selection import concerns
from engine.run.states import FINAL_RUN
from engine.store.base import BatchRef, JournalEntry
from engine.store.record import ChainState
from engine.testing import CALM, Simulator

PARTS = 6
SCHEDULES = 180


@pytest.mark.parametrize("dialect", ["flow.ir", "swarm"])
@pytest.mark.parametrize("part", range(PARTS))
def test_a_replay_follows_pauses_deaths_and_snapshots(
    monkeypatch: pytest.MonkeyPatch, box: Box, part: int, dialect: Dialect
) -> None:
    for seed in range(part, SCHEDULES, PARTS):
        found, ctx = made(seed, dialect), CONTEXTS[dialect]
        # Every other run loses steps for good.
        most = 1 if seed % 2 else 90
        chaos = CHAOS[seed % len(CHAOS)]
        entries = run_and_follow(
            box, seed, monkeypatch, found, ctx, chaos=chaos, max_lost=most
        )
        check_parts(found, ctx, entries, random.Random(seed))


def check_parts(
    found: Program, ctx: Any, entries: list[JournalEntry], dice: random.Random
) -> None:
    """A lane's own replay gives the same steps as the replay of the whole run."""
    read = [(entry, read_entry(entry)) for entry in entries]
    ends = {
        event[1]: content.chain_at(event[1])
        for _, content in read
        for event in content.events
        if event[0] in STEP_ENDS
    }
    for place in dice.sample(sorted(ends), min(3, len(ends))):
        whole = Replay(found, ctx, watch=place)
        for entry in entries:
            whole.apply(entry)
        part = Replay(found, ctx, watch=place, in_parts=True)
        for entry, content in read:
            if part.visit is None and concerns(content, ends[place]):
                part.apply(entry)
        seen, alone = whole.visit, part.visit
        assert seen is not None
        assert alone is not None
        assert (seen.addr, seen.number) == (ends[place], alone.number)
        for one in ("input", "before", "after"):
            assert text(getattr(seen, one)) == text(getattr(alone, one)), (place, one)


def test_a_replay_follows_a_ctx_that_outgrows_its_limit(
    monkeypatch: pytest.MonkeyPatch, box: Box
) -> None:
    bounds = Limits(ctx_bytes=220, input_bytes=110)
    journal = b""
    for seed in range(60):
        found, ctx = made(seed, "swarm"), CONTEXTS["swarm"]
        entries = run_and_follow(box, seed, monkeypatch, found, ctx, limits=bounds)
        journal += b"".join(entry.data for entry in entries)
        # The journal knows the limits, so the replay needs none.
        assert replayed(found, ctx, entries).state.kept.number == len(entries)
    assert b"larger than SWARM_CTX_LIMIT" in journal
    assert b"larger than SWARM_INPUT_LIMIT" in journal


def test_a_replay_follows_a_broken_batch(
    monkeypatch: pytest.MonkeyPatch, box: Box
) -> None:
    for seed, outcome in enumerate(
        (
            b'{"kind":"timed_out","value":null,"text":"timed out","permanent":false,"type":""}',
            b'{"kind":"passed","value":7,"text":"","permanent":false,"type":""}',
        )
        * 6
    ):
        broken: list[str] = []

        def attempt(call: StepCall, outcome: bytes = outcome) -> Any:
            if call.place.endswith("lane[2]/children/1") and not broken:  # noqa: B023
                view = box.view("R-1")
                assert view is not None
                for span, (state, nonce, _) in view.chords["0.k1"].marks.items():
                    lo, hi = map(int, span.split("-"))
                    if state == "running" and lo <= 2 < hi:
                        broken.append(span)  # noqa: B023
                        batch = BatchRef("R-1", 1, "0.k1", lo, hi)
                        box.store.break_batch(batch, nonce, 2, outcome)
            return 5

        body = seq(
            {"kind": "assign", "at": at("$.z"), "value": lit(1)},
            step("inc", at("$.a"), "$.b"),
        )
        flow = seq(
            step("inc", at("$.a"), "$.a"),
            fanout(lit([1, 2, 3, 4]), body, "all_settled"),
        )
        run_and_follow(
            box, seed, monkeypatch, program(flow), {"a": 1}, chaos=CALM,
            agents=spawners(attempt),
        )  # fmt: skip


def test_a_replay_follows_a_wait_for_room(
    monkeypatch: pytest.MonkeyPatch, box: Box
) -> None:
    body = step("inc", at("$.a"), "$.b")
    flow = seq(step("inc", at("$.a"), "$.a"), fanout(lit([1, 2, 3]), body))
    found = program(flow)
    followed = FollowedRun(box, found, {"a": 1}, Limits())
    simulator = Simulator(box.store, spawners(), seed=1, limits=Limits(steps=0))
    simulator.launch(found, {"a": 1})
    waited = 0
    box.fill()
    try:
        for turn in range(60):
            view = audit(box, "R-1")
            assert view is not None
            followed.check(view)
            if view.status in FINAL_RUN:
                break
            waits = followed.replay.state.chains["0"].state is ChainState.WAITING
            waited += waits
            if turn == 20:
                assert followed.replay.state.kept.chords == {}
                box.make_room()
            simulator.turn()
    finally:
        box.make_room()
    assert waited > 5
    assert text(followed.replay.ctx()) == text(simulator.final())
    assert simulator.entries()[-1].number == view.number
