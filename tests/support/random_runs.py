"""Random programs with what they run on, and the faults that meet them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from random_programs import CTX, Maker, answer, program
from simulation_checks import text
from simulation_oracle import Oracle
from swarm_programs import CTX as SWARM_CTX
from swarm_programs import SwarmMaker

from engine.blueprint.program import Program
from engine.flow import Dialect, FlowError
from engine.testing import CALM, STORM, Chaos

CHAOS = [
    CALM,
    Chaos(double=0.3, lost_reply=0.3),
    Chaos(drop=0.3, steward=0.2),
    Chaos(crash=0.1),
    Chaos(interleave=0.5),
    STORM,
    Chaos(0.2, 0.1, 0.06, 0.2, 0.4, 0.1),
]
LARGEST = 100_000
CONTEXTS: dict[Dialect, Any] = {"flow.ir": CTX, "swarm": SWARM_CTX}


def ends(run: Callable[[], Any]) -> tuple[str, Any]:
    """Return how a program ends: done and its Ctx, or failed and the error."""
    try:
        return "done", text(run())
    except FlowError as error:
        return "failed", (error.kind, str(error))


def made(seed: int, dialect: Dialect = "flow.ir") -> Program:
    """Return a program small enough to be expanded."""
    dice = random.Random(seed)
    maker = Maker if dialect == "flow.ir" else SwarmMaker
    while True:
        flow = maker(dice, left=dice.choice((8, 16, 30))).flow()
        found = program(flow, dialect=dialect)
        ctx = CONTEXTS[dialect]
        how, what = ends(lambda: Oracle(answer).run(found.flow, ctx))  # noqa: B023
        if how == "failed" or len(what) < LARGEST:
            return found
