"""kill -9 of a rerun between any two of its calls to Redis: the run is whole afterwards."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from fault_installation import REPO, Installation, fanout, step
from flow_documents import seq

from engine.run.states import FINAL_RUN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

RUNS = 14
LANES = 5
FLOW = seq(step(), fanout(list(range(LANES)), step(), "all_settled"), step())
PLACE = "/children/1/lane[2]"
AGAIN = {PLACE, "/children/2"}
KEPT = {"/children/0", *(f"/children/1/lane[{n}]" for n in range(LANES))} - AGAIN
ROWS = "SELECT id, generation, status, result FROM blueprints_run WHERE id IN ?"


def python(installation: Installation, *words: str) -> str:
    """Run a Python process of the installation; return what it printed."""
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=REPO, env=installation.env, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def killed(installation: Installation, calls: Mapping[str, int]) -> list[bool]:
    """Run runs again, to be killed after some calls; return which ones were."""
    script = str(Path(__file__).parents[1] / "support" / "dying_reruns.py")
    words = [str(word) for one in calls.items() for word in one]
    told = python(installation, script, PLACE, *words).split()
    return [word == "killed" for word in told]


def rows(
    installation: Installation, runs: list[str]
) -> dict[str, tuple[int, str, str]]:
    """Return generation, status and result of runs."""
    found = installation.rows(ROWS, runs)
    return {run: (gen, status, result) for run, gen, status, result in found}


def ended(installation: Installation, runs: list[str], gen: int) -> dict[str, str]:
    """Wait until a generation of runs has ended well; return the results."""
    got = installation.until(
        lambda: rows(installation, runs),
        lambda got: all(one[:2] == (gen, "done") for one in got.values()),
        60,
    )
    assert {one[:2] for one in got.values()} == {(gen, "done")}, got
    return {run: one[2] for run, one in got.items()}


def check_attempts(installation: Installation, runs: list[str], again: int) -> None:
    """Check that only what was to run again did, `again` times."""
    noted = installation.noted()
    for run in runs:
        mine = {place: count for (whose, place), count in noted.items() if whose == run}
        assert mine == dict.fromkeys(KEPT, 1) | dict.fromkeys(AGAIN, again)


def test_a_steward_finishes_a_rerun_that_was_killed_anywhere(
    installation: Installation,
) -> None:
    installation.worker()
    runs = installation.launch_with_rows(FLOW, {"n": 0}, RUNS)
    first = ended(installation, runs, 1)
    ends = killed(installation, {run: calls for calls, run in enumerate(runs)})
    # Those that made all their calls lived.
    assert ends.count(True) >= 8
    assert not ends[-1]
    assert ended(installation, runs, 2) == first
    check_attempts(installation, runs, 2)
    assert installation.store.installing() == set()
    for run in runs:
        numbers = [
            number
            for (number,) in installation.rows(
                "SELECT number FROM blueprints_runevent WHERE generation = 2"
                " AND run_id IN ? ORDER BY number",
                [run],
            )
        ]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_rerun_that_was_killed_can_be_cancelled_and_made_again(
    installation: Installation,
) -> None:
    worker = installation.worker()
    runs = installation.launch_with_rows(FLOW, {"n": 0}, 2)
    first = ended(installation, runs, 1)
    # No steward comes before the next command.
    installation.kill(worker)
    assert all(killed(installation, dict.fromkeys(runs, 5)))
    assert installation.store.installing() == {(run, 2) for run in runs}
    for run in runs:
        python(installation, "manage.py", "runs", "cancel", run)
    assert {one[1] for one in rows(installation, runs).values()} <= FINAL_RUN
    installation.worker()
    left = f"swarm:s:r:{runs[0]}:2:*"
    assert (
        installation.until(
            lambda: installation.store.wire.call("KEYS", left), lambda got: not got, 30
        )
        == []
    )
    assert installation.store.installing() == set()
    assert not any(killed(installation, dict.fromkeys(runs, 99)))
    assert ended(installation, runs, 3) == first
    check_attempts(installation, runs, 2)
