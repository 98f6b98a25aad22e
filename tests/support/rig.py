"""Runs with rows in the database, driven in this process on a real server."""

from collections import deque
from typing import Any

import orjson
from flow_documents import echo_step

from blueprints.models import Run
from blueprints.services.runs import Launch
from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.ports import Spawner, StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.drive.engine import Engine
from engine.run.drive.lanes import deliver
from engine.run.limits import Limits
from engine.store.redis import STATE, RedisStore
from workers.runs.launch import launch
from workers.wiring import make_loader, make_store

QUEUE = "swarm.python_fn"


class Echo:
    """Answers a step with its input."""

    in_process = True

    def run(self, call: StepCall) -> Outcome:
        """Return the input."""
        return Outcome("passed", call.input)


def step(at: str = "$.n") -> dict[str, Any]:
    """Return a step that echoes a value."""
    return echo_step("echo", at)


def program(flow: Any) -> Program:
    """Return a program of one agent, `echo`."""
    return Program("b", flow, {"echo": Agent("echo", "python_fn", QUEUE, 60_000)})


def deliver_all(store: RedisStore, engine: Engine, most: int = 1_000_000) -> int:
    """Deliver up to `most` messages; returns how many there were."""
    queues, idle, done = deque([QUEUE, "swarm.engine"]), 0, 0
    while idle < len(queues) and done < most:
        queue = queues[0]
        queues.rotate()
        text = store.wire.call("RPOP", f"swarm:q:{queue}")
        if text is None:
            idle += 1
            continue
        idle, done = 0, done + 1
        run, gen, addr = orjson.loads(orjson.loads(text)["body"])[0]
        deliver(engine, run, gen, addr, queue)
    return done


class Rig:
    """Launches runs and delivers their messages, optionally one step for each delivery."""

    def __init__(self) -> None:
        """Connect to the server that the settings name."""
        self.store = make_store()
        self.spawner: Spawner = Echo()

    def launch(self, flow: Any, ctx: Any = None) -> Run:
        """Launch a run with its rows."""
        return launch(self.store, Launch(program(flow), ctx or {"n": 1}))

    def work_off(self, *, most: int = 1_000_000, steps: int = 100) -> int:
        """Deliver up to `most` messages; how many there were."""
        engine = Engine(
            self.store,
            {"python_fn": self.spawner},
            serves=lambda _: True,
            limits=Limits(steps=steps),
            loader=make_loader(self.store),
        )
        return deliver_all(self.store, engine, most)

    def spoil_last(self, run: str, content: bytes) -> None:
        """Put an entry in the place of a run's last one."""
        [*_, last] = [one for one in self.store.journal("0", 1000) if one.run == run]
        self.store.wire.call("XDEL", f"{STATE}j", last.id)
        fields = ("r", run, "g", last.gen, "n", last.number, "e", content)
        self.store.wire.call("XADD", f"{STATE}j", "*", *fields)
