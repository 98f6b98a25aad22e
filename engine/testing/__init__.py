"""What users test their Blueprints with.

Scripted agents, one run, a simulator, a clock, and stores of Blueprints and of outputs in
memory. The caller brings the server: `workers/pytest_plugin.py` has fixtures that start
one.
"""

from engine.testing.blueprint_runs import BlueprintRun, run_blueprint
from engine.testing.blueprints import MemoryBlueprintStore
from engine.testing.outputs import MemoryOutputStore
from engine.testing.scripted import ScriptedSpawner, agent_step
from engine.testing.simulator import (
    CALM,
    PREFIX,
    STORM,
    TEMPLATE,
    Chaos,
    Clock,
    Crash,
    Message,
    Simulator,
)

__all__ = [
    "CALM",
    "PREFIX",
    "STORM",
    "TEMPLATE",
    "BlueprintRun",
    "Chaos",
    "Clock",
    "Crash",
    "MemoryBlueprintStore",
    "MemoryOutputStore",
    "Message",
    "ScriptedSpawner",
    "Simulator",
    "agent_step",
    "run_blueprint",
]
