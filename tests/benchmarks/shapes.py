"""The shapes that are measured, as flows of ours and launchers of canvas."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from engine.blueprint import Program
from engine.blueprint.program import Agent, Retry
from engine.flow.json_text import Json
from tests.benchmarks import canvas

CTX = {"id": 7, "i": 0, "last": 0, "doc": "x" * 970}
"""About 1 KB of JSON."""

LUA = {"source": "return 1"}
CHILD = {"program": canvas.PROGRAM[0], "args": canvas.PROGRAM[1:]}

CTX_PATH = {"op": "path", "at": "$"}


@dataclass(frozen=True)
class Shape:
    """One row of the table: `runs` runs of `flow`, each of `steps` steps."""

    name: str
    title: str
    runs: int
    steps: int
    flow: Json
    canvas: Callable[[int, Any, str], canvas.Launch]
    rounds: int | None = None
    """The most repetitions; None means no bound."""
    warm: bool = True
    """Whether a round that is not counted goes first."""

    @property
    def total(self) -> int:
        """All steps of one round."""
        return self.runs * self.steps

    def program(self) -> Program:
        """Return the flow with its agents, as a compiled Blueprint has them."""
        agents = {
            name: Agent(
                name,
                "python_fn",
                "swarm.python_fn",
                600_000,
                Retry(),
                {"fn_id": f"bench-{name}"},
            )
            for name in ("noop", "echo")
        }
        # On the same queue, so that the same workers make its steps.
        agents["lua"] = replace(agents["noop"], name="lua", kind="lua", spec=LUA)
        child = replace(agents["noop"], name="child", kind="subprocess", spec=CHILD)
        agents["child"] = child
        return Program(f"bench-{self.name}", self.flow, agents)


def step(ref: str, out: str) -> Json:
    """Return a step that is given the whole Ctx."""
    return {"kind": "step", "ref": ref, "in": CTX_PATH, "out": path(out)}


def path(at: str) -> Json:
    """Return a path expression."""
    return {"op": "path", "at": at}


def seq(length: int, child: Json) -> Json:
    """Return a chain."""
    return {"kind": "seq", "children": [child] * length}


def loop(turns: int) -> Json:
    """Return a loop of one step."""
    return {
        "kind": "loop",
        "counter": path("$.i"),
        "cond": {"op": "lt", "lhs": path("$.i"), "rhs": {"op": "lit", "value": turns}},
        "body": NOOP,
        "max": turns + 1,
    }


def fanout(width: int) -> Json:
    """Return a fanout of one step over numbers that stand in the program."""
    return {
        "kind": "fanout",
        "items": {"op": "lit", "value": list(range(width))},
        "bind": path("$.item"),
        "body": NOOP,
        "join": "all",
        "out": path("$.lanes"),
    }


NOOP = step("noop", "$.last")


def chain(name: str, title: str, length: int, one: Json, **more: Any) -> Shape:
    """Return the shape of one run that is a chain of equal steps."""
    shape = Shape(name, title, 1, length, seq(length, one), canvas.chain_of)
    return replace(shape, **more)


def wide(name: str, title: str, width: int, **more: Any) -> Shape:
    """Return the shape of one run that is a fanout."""
    shape = Shape(name, title, 1, width, fanout(width), canvas.fanout_of)
    return replace(shape, **more)


SHAPES = (
    chain("chain100", "chain of 100", 100, NOOP),
    chain("chain100-1k", "chain of 100, 1 KB results", 100, step("echo", "$")),
    chain("lua100", "100 Lua steps", 100, step("lua", "$.last")),
    chain(
        "subprocess20",
        "20 child processes",
        20,
        step("child", "$.last"),
        canvas=canvas.programs_of,
    ),
    Shape("loop50", "loop of 50", 1, 50, loop(50), canvas.loop_of),
    wide("fanout100", "fanout of 100", 100),
    wide("fanout1000", "fanout of 1000", 1000),
    Shape("runs200x10", "200 x chain of 10", 200, 10, seq(10, NOOP), canvas.chain_of),
    wide("fanout10000", "fanout of 10 000", 10_000, rounds=1, warm=False),
)


def small(shape: Shape) -> Shape:
    """Return a shape in small: the same kind of flow, for a test that it runs."""
    runs, steps = min(shape.runs, 3), min(shape.steps, 3)
    flow = shape.flow
    match flow["kind"]:
        case "seq":
            flow = seq(steps, flow["children"][0])
        case "loop":
            flow = loop(steps)
        case "fanout":
            flow = fanout(steps)
    title = f"{shape.title} (small)"
    return replace(
        shape, title=title, runs=runs, steps=steps, flow=flow, rounds=1, warm=False
    )


SMALL = tuple(map(small, SHAPES))
