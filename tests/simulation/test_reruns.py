"""A run begins again at any step: what did not follow from it is kept and not run again."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from random_programs import answer, spawners
from random_runs import CHAOS, CONTEXTS, made
from simulation_checks import ENDS, check_empty, text
from simulation_oracle import Oracle, Unfitting
from store_boxes import Box, audit

from engine.blueprint.program import Program
from engine.flow import FlowError
from engine.flow.path import Path
from engine.run.drive import chords, lanes
from engine.run.limits import Limits
from engine.run.replay.branches import BranchRefused, branch
from engine.run.replay.cuts import Cut, Cuts, Read, find_cut, read_all
from engine.run.replay.failures import failed_cuts
from engine.run.replay.install import Opening, generation_from, install
from engine.run.replay.lineage import (
    Beginning,
    Stretch,
    edit_lines,
    history,
    in_effect,
    without,
)
from engine.testing import Simulator

SEEDS = 200


def ended(
    box: Box, seed: int, dice: random.Random, monkeypatch: pytest.MonkeyPatch
) -> tuple[Simulator, Program, Any]:
    """Run a random program to its end."""
    batch = dice.choice((1, 2, 4))
    monkeypatch.setattr(chords, "lanes_a_message", lambda size, limits: batch)
    monkeypatch.setattr(lanes, "RESULTS", dice.choice((1, 2, 16)))
    monkeypatch.setattr(lanes, "SECONDS", math.inf)
    dialect = dice.choice(("flow.ir", "swarm"))
    program, ctx = made(seed, dialect), CONTEXTS[dialect]
    bounds = Limits(steps=dice.choice((0, 1, 2, 100)), window=dice.choice((2, 3, 1024)))
    chaos = dice.choice(CHAOS)
    simulator = Simulator(box.store, spawners(), seed=seed, chaos=chaos, limits=bounds)
    assert simulator.launch(program, ctx) == "ok"
    simulator.run()
    return simulator, program, ctx


class History:
    """The generations of the one run of a simulator, each begun again from the last."""

    def __init__(self, simulator: Simulator, program: Program, ctx: Any) -> None:
        self.simulator, self.program, self.ctx = simulator, program, ctx
        self.found = [Stretch("R-1", 1, self._read(1))]
        self.edits: dict[str, tuple[Path, Any]] = {}
        """The edit that counts, by place."""
        self.edited: Cut | None = None

    def _read(self, gen: int) -> list[Read]:
        return read_all(one for one in self.simulator.entries() if one.gen == gen)

    @property
    def gen(self) -> int:
        """The newest generation."""
        return self.found[-1].gen

    @property
    def read(self) -> list[Read]:
        """The entries that count."""
        return list(history(in_effect(self.found)))

    @property
    def events(self) -> list[list[Any]]:
        """The events that count, in their order."""
        return [event for _, content in self.read for event in content.events]

    def places(self) -> list[str]:
        """Return the places of the steps that have ended."""
        return sorted({event[1] for event in self.events if event[0] in ENDS})

    def again(self, cuts: Sequence[Cut], edits: str = "") -> None:
        """Begin again without what followed from the cuts, and run to the end."""
        beginning, gen = Beginning(tuple(cuts), edits), self.gen + 1
        at = self.edited
        if at is not None and at not in cuts and Cuts(cuts).leave_out(at.addr, at.seq):
            self.edits = {}
        left = without(in_effect(self.found), cuts)
        found = branch(self.program, left, beginning, ctx=self.ctx)
        begun = generation_from(found, "R-1", gen)
        store = self.simulator.store
        opening = Opening(store.now_ms(), 3_600_000)
        assert install(store, begun, self.program, opening) == "ok"
        self.simulator.run()
        self.found.append(Stretch("R-1", gen, self._read(gen), begun, beginning))

    def again_from(self, place: str) -> bool:
        """Begin again at a place; return False if its lane has lost its fanout."""
        cut = find_cut(self.read, place)
        assert cut is not None
        try:
            self.again([cut])
        except BranchRefused:
            assert "/lane[" in place
            return False
        # Another lane may be the faster one this time.
        raced = [e[1] for e in self.events if e[0] == "joined" and e[2] >= 0]
        around = tuple(f"{one}/lane[" for one in raced)
        assert place in self.places() or place.startswith(around)
        return True

    def edited_at(self, place: str, path: Path, value: Any) -> bool:
        """Begin again at a place with an edit; return False if that is refused."""
        cut = find_cut(self.read, place)
        assert cut is not None
        self.edits = {place: (path, value)}
        try:
            self.again([cut], edit_lines({path: value}))
            self.edited = cut
        except BranchRefused as refused:
            if "do not fit" not in str(refused):
                assert "/lane[" in place
                return False
            with pytest.raises(Unfitting):
                self.oracle().run(self.program.flow, self.ctx)
            return False
        return True

    def oracle(self) -> Oracle:
        """Return the oracle of what counts."""
        decided = {event[1]: event[2] for event in self.events if event[0] == "joined"}
        return Oracle(answer, decided, self.edits)

    def check(self) -> None:
        """Compare the end with the oracle; a step has ended once in what counts."""
        oracle, failure, value = self.oracle(), None, None
        try:
            value = oracle.run(self.program.flow, self.ctx)
        except FlowError as error:
            failure = [error.kind, str(error)]
        head = self.simulator.store.head("R-1")
        assert head is not None
        assert (head.gen, head.status) == (self.gen, "failed" if failure else "done")
        if failure is None:
            assert text(self.simulator.final()) == text(value)
        ends = Counter(event[1] for event in self.events if event[0] in ENDS)
        assert not {place for place, count in ends.items() if count != 1}
        assert not set(oracle.steps) - set(ends)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_begins_again_at_any_step(
    box: Box, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again from any step that the second time has made or kept."""
    dice = random.Random(f"rerun {seed}")
    past = History(*ended(box, seed, dice, monkeypatch))
    for _ in range(3):
        places = past.places()
        if places and past.again_from(dice.choice(places)):
            past.check()
            audit(box, "R-1")
    past.simulator.settle_down()
    check_empty(box)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run_goes_on_with_an_edit_at_a_step_of_a_lane_or_a_try(
    box: Box, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(f"edited {seed}")
    past = History(*ended(box, seed, dice, monkeypatch))
    places = past.places()
    inside = [one for one in places if "/lane[" in one or "/body/" in one]
    if not places:
        return
    keys = dice.choice((("a",), ("b",), ("out",), ("o", "in"), ("a", "z")))
    value = dice.choice((7, "edited", [1, 2], {"k": 3}))
    if past.edited_at(dice.choice(inside or places), Path("$", keys), value):
        past.check()
        audit(box, "R-1")
        # A later rerun makes the edit again, if it keeps what came before its place.
        if past.again_from(dice.choice(past.places())):
            past.check()
        past.simulator.settle_down()
        check_empty(box)


@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_what_has_failed_runs_again_and_the_rest_is_kept(
    box: Box, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(f"failed {seed}")
    past = History(*ended(box, seed, dice, monkeypatch))
    cuts = failed_cuts(past.read)
    if not cuts:
        head = past.simulator.store.head("R-1")
        assert head is not None
        assert head.status == "done"
        return
    past.again(cuts)
    past.check()
    # What has failed is found in what another rerun has kept, too.
    places = past.places()
    if places and past.again_from(dice.choice(places)):
        past.check()
        if cuts := failed_cuts(past.read):
            past.again(cuts)
            past.check()
