"""Runs with rows in the database, worked off in this process on a real server."""

from collections import deque
from typing import Any

import orjson

from blueprints.models import Run
from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.ports import Spawner, StepCall
from engine.run.engine import Engine
from engine.run.lanes import deliver_batch
from engine.run.outcomes import Outcome
from engine.run.turn import Limits
from engine.store.base import BatchRef, Ref
from workers.launching import launch
from workers.runtime import make_store

QUEUE = "swarm.python_fn"


class Echo:
    """Answers a step with its input."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Return the input."""
        return Outcome("passed", call.input)


def step(at: str = "$.n") -> dict[str, Any]:
    """Return a step that echoes a value."""
    path = {"op": "path", "at": at}
    return {"kind": "step", "ref": "echo", "in": path, "out": path}


def seq(*children: Any) -> dict[str, Any]:
    """Return a seq."""
    return {"kind": "seq", "children": list(children)}


def program(flow: Any) -> Program:
    """Return a program of one agent, `echo`."""
    return Program("b", flow, {"echo": Agent("echo", "python_fn", QUEUE, 60_000)})


class Rig:
    """Launches runs and works off their messages, a step a delivery if asked to."""

    def __init__(self) -> None:
        """Connect to the server that the settings name."""
        self.store = make_store()
        self.spawner: Spawner = Echo()

    def launch(self, flow: Any, ctx: Any = None) -> Run:
        """Launch a run with its rows."""
        return launch(self.store, program=program(flow), ctx=ctx or {"n": 1})

    def work_off(self, *, most: int = 1_000_000, steps: int = 100) -> int:
        """Deliver up to `most` messages; how many there were."""
        engine = Engine(
            self.store,
            {"python_fn": self.spawner},
            serves=lambda _: True,
            limits=Limits(steps=steps),
        )
        queues, idle, done = deque([QUEUE, "swarm.engine"]), 0, 0
        while idle < len(queues) and done < most:
            queue = queues[0]
            queues.rotate()
            text = self.store.wire.call("RPOP", f"swarm:q:{queue}")
            if text is None:
                idle += 1
                continue
            idle, done = 0, done + 1
            run, gen, addr = orjson.loads(orjson.loads(text)["body"])[0]
            chord, mark, span = addr.partition(":")
            if mark:
                lo, hi = map(int, span.split("-"))
                deliver_batch(engine, BatchRef(run, gen, chord, lo, hi), queue)
            else:
                engine.deliver(Ref(run, gen, addr), queue)
        return done
