"""Replay: a run is rebuilt from its program, its initial Ctx and its journal."""

from engine.run.replay.moves import Visit
from engine.run.replay.replayer import Replay
from engine.run.replay.snapshot import ChainSnapshot, ChordSnapshot, Snapshot
from engine.run.replay.tape import ReplayError

__all__ = [
    "ChainSnapshot",
    "ChordSnapshot",
    "Replay",
    "ReplayError",
    "Snapshot",
    "Visit",
]
