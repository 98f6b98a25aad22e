"""The floors of the benchmarks as data, and their check (`--check`)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import Result

CONTINUED = "continuation and lane batches on (the defaults)"
SINGLE = "continuation and lane batches off: every step is a delivery of its own"

FLOORS: Mapping[tuple[str, str], float] = {
    (CONTINUED, "chain100"): 6.0,
    (CONTINUED, "runs200x10"): 6.0,
    (CONTINUED, "fanout1000"): 3.0,
}
"""The least ratio to canvas of a shape in a mode."""
LEAST = {SINGLE: 1.0}
"""The least ratio of every shape of a mode, those without a floor of their own."""
AIMS_MS: Mapping[str, float] = {"chain100": 0.4, "lua100": 0.6}
"""Target milliseconds for a step in continuation; a miss is printed and is no failure."""
KEPT = 0.9
"""How much of an earlier ratio must be left (`--baseline`)."""


@dataclass(frozen=True)
class Verdict:
    """One floor or aim, and what was measured; None where it was not."""

    what: str
    least: float
    got: float | None
    must: bool = True

    @property
    def met(self) -> bool:
        """Tell whether it was reached: a ratio is a floor, a time is a ceiling."""
        if self.got is None:
            return False
        return self.got >= self.least if self.must else self.got <= self.least

    def line(self) -> str:
        """Return what a person reads."""
        word = ("PASS" if self.met else "FAIL") if self.must else "AIM "
        got = "not measured" if self.got is None else f"{self.got:.2f}"
        if self.must:
            return f"{word}  {self.what}: x {got}, floor x {self.least:.2f}"
        far = "reached" if self.met else "missed"
        return f"{word}  {self.what}: {got} ms a step, aim {self.least} ms, {far}"


def verdicts(
    results: Iterable[Result], earlier: Mapping[tuple[str, str], float] | None = None
) -> list[Verdict]:
    """Compare results with the floors, the targets and, if given, earlier ratios."""
    found = {(result.mode, result.shape.name): result for result in results}
    ratios = {key: result.ratio for key, result in found.items()}
    floors = dict(FLOORS)
    for key in found:
        if key[0] in LEAST:
            floors.setdefault(key, LEAST[key[0]])
    verdict_lines = [
        Verdict(named(key), least, ratios.get(key)) for key, least in floors.items()
    ]
    verdict_lines += [
        Verdict(f"{named(key)}, as before", KEPT * ratio, ratios.get(key))
        for key, ratio in (earlier or {}).items()
    ]
    for name, aim in AIMS_MS.items():
        result = found.get((CONTINUED, name))
        ms = result and result.median("ours", "ms") / result.shape.total
        verdict_lines.append(Verdict(name, aim, ms, must=False))
    return verdict_lines


def named(key: tuple[str, str]) -> str:
    """Return how a shape in a mode is called."""
    mode, shape = key
    return f"{shape}, {mode.partition(' (')[0].partition(':')[0]}"


def ratios_of(lines: Path) -> Iterator[tuple[tuple[str, str], float]]:
    """Return the ratios of an earlier run from its JSON lines."""
    for line in lines.read_text().splitlines():
        record = json.loads(line)
        if "ratio" in record:
            yield (record["mode"], record["shape"]), record["ratio"]
