"""Runs that a simulator takes from their launch to their end."""

from __future__ import annotations

from typing import Any

import random_programs

from engine.testing import Simulator
from workers.pytest_plugin import MakeSimulator


def launched(
    make: MakeSimulator,
    flow: Any,
    ctx: Any = None,
    *,
    dialect: Any = "flow.ir",
    spawners: Any = None,
    **options: Any,
) -> Simulator:
    """Launch a flow over a Ctx, `{"a": 1}` if none is given, and return its simulator."""
    simulator = make(spawners or random_programs.spawners(), **options)
    given = {"a": 1} if ctx is None else ctx
    assert (
        simulator.launch(random_programs.program(flow, dialect=dialect), given) == "ok"
    )
    return simulator


def ended(make: MakeSimulator, flow: Any, ctx: Any = None, **options: Any) -> Simulator:
    """Run a flow to its end and return its simulator."""
    simulator = launched(make, flow, ctx, **options)
    simulator.run()
    return simulator
