"""What a steward does every so often."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Duty:
    """Something done every so often."""

    every_s: float
    act: Callable[[], object]
    due: float = field(default=0.0)


def do_due(duties: Sequence[Duty], may: Callable[[], bool]) -> None:
    """Do what is due, in order, as long as `may` says so before each."""
    for duty in duties:
        now = time.monotonic()
        if now < duty.due:
            continue
        if not may():
            return
        duty.due = now + duty.every_s
        duty.act()
