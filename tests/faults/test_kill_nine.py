"""kill -9 at six named points, four seeds each, with 20 runs in flight.

A child is held at the point while the blow falls (fault_points), and the journal shows
afterwards that it fell there. Recovery must end within a lease plus 10 s, every run must
end done, and each step must have one committed event. Once the worker dies that the
steward belongs to: another worker brings up the next.
Killing the server is shown twice: with every write on disk before its reply, and as the
embedded server is set (ADR 6).
"""

import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from fault_installation import LEASE_S, Installation, dumps, fanout, step
from flow_documents import seq
from store_server import server_pid

from engine.flow import evaluate, parse_node
from engine.run.drive.lanes import RESULTS

RUNS = 20
SEEDS = (1, 2, 3, 4)
WITH_STEWARD = 5
"""The seed with which the steward's worker dies, at the first of the points."""
BOUND_S = LEASE_S + 10.0

CHAIN = seq(*[step() for _ in range(6)])
LONG = seq(*[step() for _ in range(40)])
WIDE = seq(step(), fanout(list(range(64)), step()), step())
LANES = seq(step(), fanout(list(range(12)), step()), step())

HEAD = f"{'point':34} seed flying  done  steps   runs  lost  redone  unrun  recovery"

Key = tuple[str, str]
"""A step of a run: the run and the step's place."""


@dataclass(frozen=True)
class Point:
    """Where the blow falls, and what it may leave behind."""

    flow: Any
    pace: float
    """Seconds that an agent takes."""
    at: str
    """The point in fault_points at which a child is stopped."""
    skip: int
    """The most visits a child lets pass before; the seed chooses."""
    redone: int
    """The most lanes that ran and were not committed, but for those of the stopped child."""
    unrun: int
    """The most attempts that were begun and killed before their agent."""


# A worker has two children: beside the stopped one, the other dies wherever it is. Between
# its claim and its agent it leaves an attempt that never ran; in a batch, lanes that ran
# and are in no journal: one flush's worth, or all the lanes of a message when fewer.
POINTS = {
    "worker in mid-step": Point(CHAIN, 0.05, "mid-step", 2, 0, 1),
    "worker in mid-continuation": Point(LONG, 0.004, "mid-continuation", 30, 0, 1),
    "worker in mid-batch": Point(WIDE, 0.006, "mid-batch", 12, RESULTS, 1),
    "between the last lane and the join": Point(LANES, 0.002, "before-join", 2, 4, 1),
    # Only the server dies, so a repeated lane was refused as too late: a
    # lease of these tests is hardly longer than the server is away. For the same reason
    # each of the four children may find a claim over before it starts its agent.
    "embedded server": Point(WIDE, 0.003, "mid-batch", 12, 0, 4),
    "embedded server as it is": Point(WIDE, 0.01, "mid-batch", 12, 0, 4),
}


def held_at(installation: Installation, at: str) -> dict[str, Any]:
    """Return the report of a child that has reached the point and waits there."""
    hit = installation.var / "hit"
    assert installation.until(hit.exists, bool, 30), f"no child came to {at}"
    found: dict[str, Any] = json.loads(hit.read_text())
    hit.unlink()
    return found


def arm(installation: Installation, point: Point, seed: int) -> None:
    """Make the next child that comes to a point wait there."""
    fault = {
        "point": point.at,
        "skip": random.Random(seed).randint(0, point.skip),
        "host": installation.steward_host(),
        "is_host": seed == WITH_STEWARD,
        "seed": seed,
    }
    arming = installation.var / "arming"
    arming.write_text(json.dumps(fault))
    arming.rename(installation.var / "armed")


def strike_worker(installation: Installation, pid: int) -> None:
    """Kill the process group of the stopped child, wherever its other child is."""
    group = os.getpgid(pid)
    [victim] = [w for w in installation.workers if w.pid == group]
    installation.kill(victim)


def strike_server(installation: Installation) -> None:
    """Kill the server and see that another one is up."""
    before = server_pid(installation.store)
    os.kill(before, signal.SIGKILL)
    after = installation.until(
        lambda: server_pid(installation.store), lambda pid: pid != before, 10
    )
    assert after != before
    installation.forget_journal()


@dataclass
class Journal:
    """The journal of runs, and the notes of their agents."""

    entries: list[tuple[str, list[Any]]]
    ran: Counter[Key]

    def __post_init__(self) -> None:
        """Count."""
        events = [
            (run, event) for run, journaled in self.entries for event in journaled
        ]
        self.kinds = Counter(event[0] for _, event in events)
        self.committed = Counter(self._keys(events, "passed"))
        self.lost = Counter(self._keys(events, "lost"))
        self.joined = Counter(self._keys(events, "joined"))
        self.started = Counter(self._keys(events, "started"))
        self.discarded = set(self._keys(events, "discarded"))
        # The journal has only the end of a lane that ends in its batch.
        attempts = Counter(self.started)
        attempts.update(key for key in self.committed if key not in self.started)
        self.redone = self.ran - attempts
        self.unrun = attempts - self.ran

    @staticmethod
    def _keys(events: list[tuple[str, Any]], kind: str) -> list[Key]:
        return [(run, event[1]) for run, event in events if event[0] == kind]

    def begun_with(self, key: Key) -> set[str]:
        """Return what the entry says besides that began a step's first attempt."""
        for run, journaled in self.entries:
            if run == key[0] and ["started", key[1], 1] in journaled:
                return {event[0] for event in journaled} - {"started"}
        raise AssertionError(f"no first attempt of {key}")


def in_hand(hit: dict[str, Any]) -> set[Key]:
    """Return the lanes that a stopped child ran since its last commit, with the current one."""
    before, _, rest = hit["place"].partition("/lane[")
    index = int(rest.partition("]")[0])
    lanes = range(index - hit["in_hand"], index + 1)
    return {(hit["run"], f"{before}/lane[{lane}]") for lane in lanes}


def assert_hit(point: Point, journal: Journal, hit: dict[str, Any]) -> None:
    """Check by the journal that the blow fell at the point."""
    key = hit["run"], hit["place"]
    match point.at:
        case "mid-step":
            # Claimed by a message: the claim's entry says nothing else.
            assert journal.lost[key] == 1
            assert journal.begun_with(key) == set()
            assert journal.ran[key] == 2
        case "mid-continuation":
            # Claimed by the commit of the step before, in one entry with its end.
            assert journal.lost[key] == 1
            assert journal.begun_with(key) == {"passed", "pending"}
            assert journal.ran[key] == 2
        case "mid-batch":
            # What a batch had in hand is run again, lane by lane.
            assert in_hand(hit) <= set(journal.redone)
            assert all(journal.started[lane] == 1 for lane in in_hand(hit))
        case "before-join":
            assert journal.lost[key] == 1
            assert journal.joined[key] == 1


def assert_journaled(
    point: Point, journal: Journal, hit: dict[str, Any] | None
) -> None:
    """Check that agents ran as often as the journal has attempts.

    More often only lanes whose batch died before their results were committed, or whose
    results came too late; less often only an attempt that was killed between its claim
    and its agent.
    """
    held = in_hand(hit) if hit and "in_hand" in hit else journal.discarded
    assert all("/lane[" in place for _, place in journal.redone)
    assert all(count == 1 for count in journal.redone.values())
    assert len(set(journal.redone) - held) <= point.redone
    assert journal.unrun.total() <= point.unrun
    # One a child of the killed worker.
    assert journal.lost.total() <= (2 if hit else 0)
    assert set(journal.ran) == set(journal.committed)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", POINTS)
def test_every_run_ends_done_after_kill_nine(
    installation: Installation, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    point = POINTS[name]
    want = evaluate(parse_node(point.flow), {"n": 0}, lambda ref, value: value + 1)
    rows: list[str] = []
    server, as_it_is = "server" in name, "as it is" in name
    workers = [installation.worker(), installation.worker()]
    installation.pace(point.pace)
    if server and not as_it_is:
        # With everysec a write waits for an fsync under way, so kill -9 may lose the
        # last second or two; here nothing may be lost.
        installation.store.wire.call("CONFIG", "SET", "appendfsync", "always")
    seeds = (*SEEDS, WITH_STEWARD) if point.at == "mid-step" else SEEDS
    for seed in seeds:
        installation.ready(*workers)
        arm(installation, point, seed)
        runs = installation.launch(point.flow, {"n": 0}, RUNS)
        if server:
            # Something may be lost as it is, but not the launches.
            wire = installation.store.wire
            assert wire.call("WAITAOF", 1, 0, 5000)[0] == 1
        hit = held_at(installation, point.at)
        flying = Counter(installation.status(run) for run in runs)["running"]
        struck = time.monotonic()
        if server:
            strike_server(installation)
        else:
            strike_worker(installation, hit["pid"])
        (installation.var / "held").unlink()
        if not server and seed != seeds[-1]:
            workers = [installation.worker()]
        statuses = installation.wait(runs, 60)
        took = time.monotonic() - struck
        ran = {key: n for key, n in installation.noted().items() if key[0] in runs}
        journal = Journal(installation.entries(runs), Counter(ran))
        rows.append(
            f"{name:34} {seed:4} {flying:6} {Counter(statuses.values())['done']:5}"
            f" {len(journal.committed):6} {journal.ran.total():6}"
            f" {journal.lost.total():5} {journal.redone.total():7}"
            f" {journal.unrun.total():6} {took:6.1f} s"
        )
        assert flying >= RUNS // 2, rows[-1]
        assert set(statuses.values()) == {"done"}, rows[-1]
        assert set(journal.committed.values()) == {1}, rows[-1]
        for run in runs:
            assert dumps(installation.ctx(run)) == dumps(want)
        if not server:
            assert_hit(point, journal, hit)
        if not as_it_is:
            # Else state and journal go back together: what was lost is made again, and
            # the journal knows nothing of the first time.
            assert_journaled(point, journal, None if server else hit)
        assert took < BOUND_S, rows[-1]
    with capsys.disabled():
        print("\n" + "\n".join([HEAD, *rows]))
    installation.stop()
    assert installation.left_over() == []
