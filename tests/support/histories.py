"""Histories: whole runs as files, which every later version has to replay.

The first line of a file has the program, the initial Ctx and the recorded end; each
further line is one journal entry. `python tests/support/histories.py` records the missing
files on a server of its own; a file that is there is never written again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flow_documents import at, fanout, let, lit, seq, step
from random_programs import AGENTS, agent, program, spawners
from simulation_checks import text
from store_boxes import Box

from engine.blueprint.program import Program, Retry
from engine.flow import Dialect
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.limits import Limits
from engine.run.states import FINAL_RUN
from engine.store.base import JournalEntry
from engine.testing import CALM, STORM, Chaos, Simulator
from workers.pytest_plugin import throw_away_server

FOLDER = Path(__file__).parents[1] / "cases" / "histories"
ITEMS = lit([1, 2, 3, 4, 5])
INC = step("inc", at("$.a"), "$.a")
Act = Callable[[Box, Simulator, int], None]


@dataclass(frozen=True)
class History:
    """A recorded run."""

    program: Program
    ctx: Any
    status: str
    error: list[str] | None
    end: Any
    entries: list[JournalEntry]


@dataclass(frozen=True)
class Shape:
    """How a history is made; `act` may do something before each turn of the fleet."""

    flow: Any
    dialect: Dialect = "flow.ir"
    chaos: Chaos = CALM
    act: Act | None = None
    options: dict[str, Any] = field(default_factory=dict)


def attempt(call: StepCall) -> Any:
    """Answer as the agents of the histories do."""
    number = call.input if isinstance(call.input, (int, float)) else 0
    match call.agent.name:
        case "later" if call.attempt < 3:
            raise ValueError("not yet")
        case "bad":
            raise ValueError(f"bad: {number}")
        case "odd" if number % 2:
            raise ValueError(f"odd: {number}")
        case "blocked":
            return Outcome("blocked", {"no": True}, stats={"usage": {"tokens": 3}})
    return Outcome("passed", number + 1, stats={"usage": {"tokens": 2}})


def _pause(box: Box, simulator: Simulator, turn: int) -> None:
    if turn in (2, 9):
        box.store.pause("R-1")
    if turn in (6, 14):
        box.store.resume("R-1")


def _cancel(box: Box, simulator: Simulator, turn: int) -> None:
    if turn == 3:
        box.store.finish("R-1", 1, "cancelled", "enough of it")


def _late(box: Box, simulator: Simulator, turn: int) -> None:
    if turn == 3:
        simulator.steward(700_000)


def _loop(body: Any, most: int = 9, **more: Any) -> Any:
    cond = {"op": "lt", "lhs": at("$.n"), "rhs": lit(3)}
    return {
        "kind": "loop",
        "counter": at("$.n"),
        "cond": cond,
        "max": most,
        "body": body,
    } | more


def _caught(body: Any) -> Any:
    return {"kind": "try", "body": body, "catch": INC, "err_at": at("$.err")}


LANE = seq(step("inc", at("$.item"), "$.b"), step("inc", at("$.b"), "$.c"))
NESTED = fanout(
    lit([1, 2]), step("inc", at("$.part"), "$.d"), bind="$.part", out="$.parts"
)
SLOW = {"steps": 0}
SHAPES: dict[str, Shape] = {
    "steps": Shape(seq(INC, INC, let("$.x", at("$.a")), INC)),
    "loop": Shape(seq(_loop(INC), INC)),
    "loop-on-max-fail": Shape(_loop(INC, 2, on_max="fail"), "swarm"),
    "fanout-all": Shape(seq(INC, fanout(ITEMS, LANE), step("inc", at("$.a"), "$.z"))),
    "fanout-all-fails": Shape(_caught(fanout(ITEMS, step("odd", at("$.item"), "$.b")))),
    "fanout-any": Shape(seq(fanout(ITEMS, step("odd", at("$.item"), "$.b"), "any"), INC)),
    "fanout-any-none": Shape(fanout(lit([1, 3]), step("odd", at("$.item"), "$.b"), "any")),
    "fanout-race": Shape(seq(fanout(ITEMS, LANE, "race"), INC), chaos=STORM),
    "fanout-settled": Shape(seq(fanout(ITEMS, step("odd", at("$.item"), "$.b"), "all_settled"), INC)),
    "fanout-select": Shape(seq(fanout(ITEMS, LANE, select=at("$.c"), max_parallel=2), INC), "swarm"),
    "fanout-pure": Shape(seq(fanout(lit(list(range(70))), let("$.b", at("$.item")), select=at("$.b")), INC), "swarm"),
    "lanes-in-a-loop": Shape(_loop(fanout(lit([1, 2]), seq(NESTED, LANE)))),
    "try-rolls-back": Shape(seq(_caught(seq(INC, let("$.gone", lit(1)), step("bad", at("$.a"), "$.b"))), INC)),
    "blocked": Shape(seq(_caught(step("blocked", at("$.a"), "$.b")), step("blocked", at("$.a"), "$.c"))),
    "retries": Shape(seq(step("later", at("$.a"), "$.b"), fanout(lit([1, 2]), step("later", at("$.item"), "$.b")))),
    "retries-run-out": Shape(seq(INC, step("bad", at("$.a"), "$.b"))),
    "lost": Shape(seq(_caught(INC), INC, INC), chaos=Chaos(crash=0.5), options={"max_lost": 1, "seed": 3}),
    "lost-lanes": Shape(seq(INC, fanout(ITEMS, LANE, "all_settled")), chaos=Chaos(crash=0.3), options={"max_lost": 1}),
    "cancelled": Shape(seq(INC, fanout(ITEMS, LANE), INC), act=_cancel),
    "deadline": Shape(seq(INC, fanout(ITEMS, LANE), INC), act=_late, options={"deadline_ms": 600_000}),
    "paused": Shape(seq(INC, fanout(ITEMS, LANE), INC, INC), act=_pause),
    "checkpoint": Shape(seq(*[let("$.x", at("$.a"))] * 9, INC, fanout(ITEMS, seq(*[let("$.y", at("$.item"))] * 5, LANE))), options={"fuel_nodes": 3}),
    "batches": Shape(fanout(lit(list(range(48))), seq(step("odd", at("$.item"), "$.b"), INC), "all_settled"), options={"steps": 100}),
    "batch-fails": Shape(_caught(fanout(lit([2] * 40 + [1] + [2] * 7), step("odd", at("$.item"), "$.b"))), options={"steps": 100}),
    "storm": Shape(seq(INC, _loop(_caught(fanout(lit([1, 2, 3]), LANE))), INC), chaos=STORM),
}  # fmt: skip


def agents() -> dict[str, Any]:
    """Return the agents of the histories."""
    later = agent("later", "far", Retry(max_attempts=4, base_ms=100, jitter=0.0))
    return AGENTS | {"later": later}


def record(box: Box, shape: Shape) -> History:
    """Make a history."""
    box.empty()
    options = dict(shape.options)
    seed = options.pop("seed", 1)
    deadline_ms = options.pop("deadline_ms", 0)
    made = program(shape.flow, agents(), shape.dialect)
    simulator = Simulator(
        box.store, spawners(attempt), seed=seed, chaos=shape.chaos,
        limits=Limits(steps=options.pop("steps", 0)), **options,
    )  # fmt: skip
    ctx = {"a": 1}
    simulator.launch(made, ctx, deadline_ms=deadline_ms)
    for turn in range(10_000):
        head = box.store.head("R-1")
        assert head is not None
        if head.status in FINAL_RUN:
            break
        if shape.act is not None:
            shape.act(box, simulator, turn)
        simulator.turn()
    ends = [e for e in simulator.events() if e[0] in ("run_failed", "run_cancelled")]
    error = ends[-1][1:] if ends else None
    end = json.loads(text(simulator.final()))
    return History(made, ctx, head.status, error, end, simulator.entries())


def write(name: str, history: History) -> None:
    """Write a history into its file."""
    head = {
        "program": history.program.to_json(), "ctx": history.ctx,
        "status": history.status, "error": history.error, "end": history.end,
    }  # fmt: skip
    lines = [json.dumps(head)] + [
        json.dumps(
            {"number": one.number, "at_ms": one.at_ms, "data": one.data.decode()}
        )
        for one in history.entries
    ]
    (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> History:
    """Read a history."""
    head, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    entries = [
        JournalEntry("", "R-1", 1, one["number"], one["at_ms"], one["data"].encode())
        for one in rest
    ]
    return History(
        Program.from_json(head["program"]),
        head["ctx"],
        head["status"],
        head["error"],
        head["end"],
        entries,
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with throw_away_server() as socket:
        recorder = Box(f"unix://{quote(socket)}?db=0")
        for each, wanted in SHAPES.items():
            if not (FOLDER / f"{each}.jsonl").exists():
                write(each, record(recorder, wanted))
        recorder.close()
