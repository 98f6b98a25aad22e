"""Checks of every simulated run, whatever went wrong on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from random_programs import answer
from simulation_oracle import Oracle
from store_boxes import Box, View

from engine.blueprint.program import Program
from engine.flow import FlowError
from engine.flow.nodes import Fanout
from engine.run.chain.ctx import dump_expanded
from engine.run.chain.layout import Layout
from engine.testing import ScriptedSpawner, Simulator

ENDS = {"passed", "failed", "blocked", "timed_out", "step_lost"}
LARGE = 64 << 20


def text(value: Any) -> bytes:
    """Return a Ctx as text that distinguishes 1 from 1.0 and ignores the order of keys."""
    plain = orjson.loads(dump_expanded(value, LARGE))
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def decisions(simulator: Simulator) -> dict[str, int]:
    """Return which lane decided each fanout, by place; each was decided once."""
    found: dict[str, int] = {}
    for event in simulator.events():
        if event[0] == "joined":
            assert event[1] not in found, f"{event[1]} was joined twice"
            found[event[1]] = event[2]
    return found


def check_end(
    simulator: Simulator,
    program: Program,
    ctx: Any,
    dispatch: Callable[[str, Any], Any] = answer,
) -> list[str]:
    """Compare a run's end with the oracle; return the places of the steps that count."""
    oracle = Oracle(dispatch, decisions(simulator))
    head = simulator.store.head("R-1")
    assert head is not None
    value, failure = None, None
    try:
        value = oracle.run(program.flow, ctx)
    except FlowError as error:
        failure = [error.kind, str(error)]
    assert simulator.error() == failure
    assert head.status == ("failed" if failure else "done")
    if failure is None:
        assert text(simulator.final()) == text(value)
    return oracle.steps


def check_journal(simulator: Simulator, steps: list[str]) -> None:
    """Numbers without a gap, one end of the run, one end of every step that counts."""
    numbers = [entry.number for entry in simulator.entries()]
    assert numbers == list(range(1, len(numbers) + 1))
    kinds = [event[0] for event in simulator.events()]
    assert kinds[0] == "run_started"
    assert sum(kind in ("run_done", "run_failed") for kind in kinds) == 1
    assert kinds[-1] in ("run_done", "run_failed")
    ends = Counter(event[1] for event in simulator.events() if event[0] in ENDS)
    assert len(steps) == len(set(steps))
    twice = {place for place, count in ends.items() if count != 1}
    assert not twice, f"these steps ended more than once: {twice}"
    missing = set(steps) - set(ends)
    assert not missing, f"these steps never ended: {missing}"


def check_attempts(simulator: Simulator, spawners: dict[str, ScriptedSpawner]) -> None:
    """Without crashes the journal knows each attempt that was made, and no other.

    Messages may be doubled and replies lost, but nobody else moves while a worker is at
    work: so not even a losing lane's attempt is cut off before it is told.
    """
    made = Counter(
        (call.place, call.attempt)
        for spawner in spawners.values()
        for call in spawner.calls
    )
    assert set(made.values()) <= {1}, made.most_common(3)
    noted = {
        (event[1], event[2])
        for event in simulator.events()
        if event[0] in ENDS or event[0] in ("started", "retry")
    }
    assert noted == set(made)
    assert {
        e[1:3] and (e[1], e[2]) for e in simulator.events() if e[0] in ENDS
    } <= noted


def check_empty(box: Box) -> None:
    """Check that an ended run has no lease, message, held chain or timer."""
    view = box.view("R-1")
    assert view is not None
    assert view.leases == {}
    assert view.dispatched == {}
    assert view.held == set()
    assert view.messages == {}
    assert {timer for timer in view.timers if timer[2] != "deadline"} == set()


def check_chords(view: View, layout: Layout) -> None:
    """No more lanes under way than a fanout allows; of a lane only what is selected."""
    for chord in view.chords.values():
        node = layout.nodes[chord.spec.node]
        assert isinstance(node, Fanout)
        settled = chord.spec.size - chord.outstanding
        if node.max_parallel is not None:
            assert chord.next - settled <= node.max_parallel
        for _, log, _ in chord.settled.values():
            if node.select is not None and log is not None:
                assert log.startswith(b"[[],")
                assert log.count(b"\n") == 1
