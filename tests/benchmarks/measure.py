"""Measuring: rounds of both sides in turn, what a round cost the server, medians."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.shapes import Shape
from tests.benchmarks.sides import Side

QUIET_S = 0.15
"""Pause before a round, for acknowledgements and the like of the one before."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """One measured round of one side."""

    ms: float
    commands: int
    requests: int
    net_bytes: int
    worker_mb: float
    archived_ms: float
    """How long after the end the last row was in the database; 0 for canvas."""
    load: float


@dataclass(frozen=True)
class Result:
    """All rounds of one shape, ours and those of canvas."""

    mode: str
    shape: Shape
    ours: Sequence[Round]
    canvas: Sequence[Round]

    def median(self, side: str, field: str) -> float:
        """Return the median of a field of one side's rounds."""
        rounds: Sequence[Round] = getattr(self, side)
        return statistics.median(getattr(one, field) for one in rounds)

    @property
    def ratio(self) -> float:
        """Return how many times faster than canvas we are."""
        return self.median("canvas", "ms") / self.median("ours", "ms")

    def records(self) -> Iterator[Record]:
        """Return the result as JSON lines: one a round, then the summary."""
        head = {"mode": self.mode, "shape": self.shape.name, "steps": self.shape.total}
        for side in ("ours", "canvas"):
            for number, one in enumerate(getattr(self, side)):
                yield {**head, "side": side, "round": number, **asdict(one)}
        medians = {
            f"{side}_ms": round(self.median(side, "ms"), 3)
            for side in ("ours", "canvas")
        }
        step_ms = self.median("ours", "ms") / self.shape.total
        yield {**head, **medians, "ratio": self.ratio, "ms_a_step": step_ms}


@dataclass(frozen=True)
class Counters:
    """What a server has done so far."""

    commands: int
    """Also those that scripts make."""
    requests: int
    """Reads from clients' sockets: round trips, pipelined commands count as one."""
    net_bytes: int

    @staticmethod
    def read(server: Any) -> "Counters":
        """Ask the server."""
        info = server.info("stats")
        net = info["total_net_input_bytes"] + info["total_net_output_bytes"]
        return Counters(
            info["total_commands_processed"], info["total_reads_processed"], net
        )


def measure(
    mode: str,
    shape: Shape,
    sides: tuple[Side, Side],
    repeats: int,
    *,
    settled: bool = True,
) -> Result:
    """Run a shape on both sides in turn, `repeats` times.

    Unless `settled`, no round waits for what goes on after its end.
    """
    if shape.warm:
        for side in sides:
            one_round(side, shape)
    ours: list[Round] = []
    theirs: list[Round] = []
    for _ in range(min(repeats, shape.rounds or repeats)):
        for side, rounds in zip(sides, (ours, theirs), strict=True):
            rounds.append(one_round(side, shape, settled=settled))
    return Result(mode, shape, ours, theirs)


def one_round(side: Side, shape: Shape, *, settled: bool = True) -> Round:
    """Run a shape once, from the first launch to the end known to us.

    Our own questions are taken out of the commands and bytes. Returns when what goes
    on afterwards (our archiving) is over too, so that it does not slow the other side.
    """
    launches = side.prepare(shape)
    time.sleep(QUIET_S)
    side.polls = 0
    before = Counters.read(side.server)
    since = time.perf_counter()
    for launch in launches:
        launch()
    side.wait()
    ms = (time.perf_counter() - since) * 1000
    after = Counters.read(side.server)
    megabytes = side.worker.megabytes()
    archived_ms = side.settle() * 1000 if settled else 0.0
    return Round(
        ms=ms,
        commands=after.commands - before.commands - side.polls,
        requests=after.requests - before.requests - side.polls,
        net_bytes=after.net_bytes - before.net_bytes - side.polls * side.poll_bytes,
        worker_mb=megabytes,
        archived_ms=archived_ms,
        load=os.getloadavg()[0],
    )


def idle_rate(server: Any, seconds: float = 2.0) -> float:
    """Return the commands a second that both sides cost while nothing runs."""
    before, since = Counters.read(server), time.monotonic()
    time.sleep(seconds)
    spent = Counters.read(server).commands - before.commands
    return spent / (time.monotonic() - since)
