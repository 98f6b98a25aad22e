"""A Redis that loses its data with runs in flight: they end, and the archive is the truth."""

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from fault_installation import LEASE_S, Installation, fanout, step
from flow_documents import seq
from store_server import server_pid

from engine.store.redis import STATE
from workers.embedded_server.files import Paths
from workers.process.posix import locker_pid

RUNS = 50
FLOW = seq(
    *[step() for _ in range(4)],
    fanout(list(range(6)), seq(step(), step())),
    step(),
    step(),
)
PLACES = 4 + 12 + 2
SHORT = seq(*[step() for _ in range(12)])


class Lag:
    """How long journal entries wait for the archive, in milliseconds."""

    def __init__(self, installation: Installation) -> None:
        """Measure nothing yet."""
        self._store = installation.store
        self.seen: list[int] = []

    def look(self) -> int:
        """Return how long the oldest entry has waited by now."""
        waiting = self._store.journal(self._store.archived(), 1)
        self.seen.append(self._store.now_ms() - waiting[0].at_ms if waiting else 0)
        return self.seen[-1]

    def p99(self) -> int:
        """Return the lag below which 99 of 100 looks are."""
        return sorted(self.seen)[len(self.seen) * 99 // 100]


def in_flight(installation: Installation, lag: Lag, ran: int) -> None:
    """Wait until some steps have run, and look at the lag meanwhile."""

    def look() -> int:
        lag.look()
        return sum(installation.noted().values())

    assert installation.until(look, lambda found: found >= ran, 30) >= ran


def under_way(installation: Installation) -> tuple[list[str], Lag]:
    """Launch RUNS runs, wait until a third of their steps are made, and watch the lag."""
    installation.pace(0.05)
    installation.ready(installation.worker(), installation.worker())
    runs = installation.launch_with_rows(FLOW, {"n": 0}, RUNS)
    lag = Lag(installation)
    in_flight(installation, lag, RUNS * PLACES // 3)
    return runs, lag


def all_done(installation: Installation, runs: list[str], seconds: float) -> None:
    """Wait until the rows of runs are done."""
    done = Counter({"done": len(runs)})
    found = installation.until(
        lambda: installation.statuses(runs), lambda got: got == done, seconds
    )
    assert found == done, installation.log(0)[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_emptied_redis_goes_on_with_every_run(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, lag = under_way(installation)

    archived = installation.archived_steps(runs)
    at_loss = lag.look()
    lost_at = time.time()
    installation.store.wire.call("FLUSHALL")
    all_done(installation, runs, 60)

    took, noted = time.time() - lost_at, installation.noted()
    twice = {key for key, times in noted.items() if times > 1}
    with capsys.disabled():
        print(
            f"\nFLUSHALL with {RUNS} runs in flight: {len(archived)} steps were archived,"
            f" {len(twice)} of {len(noted)} ran twice; archive lag p99 {lag.p99()} ms,"
            f" {at_loss} ms at the loss; all done after {took:.1f} s"
        )
    assert archived
    assert not twice & archived
    assert len(noted) == RUNS * PLACES
    # Agents see the same idempotency key before and after.
    assert {len(ids) for ids in installation.step_ids().values()} == {1}
    wire = installation.store.wire
    assert (
        installation.until(
            lambda: wire.call("KEYS", f"{STATE}r:*:b"), lambda k: not k, 20
        )
        == []
    )


def is_followed(key: tuple[str, str], noted: set[tuple[str, str]]) -> bool:
    """Return whether a step that ran comes after another in the chain of its run."""
    run, place = key
    return any(other == run and _follows(place, later) for other, later in noted)


def _follows(place: str, later: str) -> bool:
    parts = zip(place.split("/"), later.split("/"), strict=False)
    here, there = next(((a, b) for a, b in parts if a != b), ("", ""))
    return here.isdecimal() and there.isdecimal() and int(here) < int(there)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_where_the_archive_is_first_no_step_that_another_followed_runs_twice(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.env["SWARM_ARCHIVE"] = "sync"
    runs, lag = under_way(installation)

    archived = installation.archived_steps(runs)
    before = set(installation.noted())
    lost_at = time.time()
    installation.store.wire.call("FLUSHALL")
    all_done(installation, runs, 80)

    took, noted = time.time() - lost_at, installation.noted()
    twice = {key for key, times in noted.items() if times > 1}
    with capsys.disabled():
        print(
            f"\nFLUSHALL with {RUNS} runs in flight, archive first: {len(twice)} of"
            f" {len(noted)} steps ran twice, none of which another had followed; archive"
            f" lag p99 {lag.p99()} ms; all done after {took:.1f} s"
        )
    assert not {key for key in twice if is_followed(key, before)}
    assert not twice & archived
    assert set(noted.values()) <= {1, 2}
    assert len(noted) == RUNS * PLACES
    assert {len(ids) for ids in installation.step_ids().values()} == {1}


class RolledBack:
    """The files of the embedded server as they are now, to set it back to them."""

    def __init__(self, installation: Installation) -> None:
        """Copy the files, as a crash that lost what came later would leave them."""
        self._paths = Paths(installation.var)
        self._files = self._paths.data / "appendonlydir"
        self._copy = installation.var / "copy"
        shutil.copytree(self._files, self._copy)

    def kill(self, installation: Installation) -> None:
        """Kill the server; its supervisor starts it again with the older files."""
        before = server_pid(installation.store)
        supervisor = locker_pid(self._paths.supervisor)
        assert supervisor is not None
        os.kill(supervisor, signal.SIGSTOP)
        try:
            os.kill(before, signal.SIGKILL)
            shutil.rmtree(self._files)
            self._copy.rename(self._files)
        finally:
            os.kill(supervisor, signal.SIGCONT)
        after = installation.until(
            lambda: server_pid(installation.store), lambda pid: pid != before, 10
        )
        assert after != before
        installation.forget_journal()


@contextlib.contextmanager
def database_away(installation: Installation) -> Iterator[None]:
    """Keep everybody else from the database for the length of a block."""
    database = sqlite3.connect(installation.var / "db.sqlite3", isolation_level=None)
    try:
        database.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        database.close()


def assert_that_claims_wait(installation: Installation) -> None:
    """Check that no agent begins for a while."""
    # What was claimed before the blow may still begin.
    time.sleep(0.5)
    noted = installation.noted()
    time.sleep(2.0)
    assert installation.noted() == noted


def ended(installation: Installation, runs: list[str]) -> set[str]:
    """Return the runs that are done in the database."""
    query = "SELECT id FROM blueprints_run WHERE status = 'done' AND id IN ?"
    return {run for (run,) in installation.rows(query, runs)}


def generations(installation: Installation, runs: list[str]) -> dict[str, int]:
    """Return the generation of each run."""
    query = "SELECT id, generation FROM blueprints_run WHERE id IN ?"
    return dict(installation.rows(query, runs))


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("database", ["there", "away"])
def test_a_redis_that_went_back_two_seconds_repeats_nothing_archived(
    installation: Installation, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lag = Lag(installation)
    installation.pace(0.6)
    installation.ready(installation.worker(), installation.worker())
    still = installation.launch_with_rows(SHORT, {"n": 0}, 3)
    in_flight(installation, lag, 3)
    for run in still:
        assert installation.store.pause(run) == "ok"
    short = installation.launch_with_rows(SHORT, {"n": 0}, 8)
    moving = installation.launch_with_rows(FLOW, {"n": 0}, 20)
    runs = [*still, *short, *moving]

    query = "SELECT id, archived_number FROM blueprints_run WHERE id IN ?"
    then = dict(installation.rows(query, runs))
    backup = RolledBack(installation)
    # The four children have the first of the short runs in hand, and these end now.
    assert not ended(installation, short)
    installation.pace(0.05)
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        lag.look()
        time.sleep(0.02)
    over = installation.until(lambda: ended(installation, short), bool, 10)
    archived = installation.archived_steps(runs)
    if database == "there":
        backup.kill(installation)
    else:
        with database_away(installation):
            backup.kill(installation)
            assert_that_claims_wait(installation)
    installation.pace(0.02)
    for run in still:
        installation.store.resume(run)
    all_done(installation, runs, 60)

    twice = {key for key, times in installation.noted().items() if times > 1}
    rebuilt = {run for run, gen in generations(installation, runs).items() if gen > 1}
    with capsys.disabled():
        print(
            f"\nRedis went back 2 s, database {database}: {len(rebuilt)} of {len(runs)}"
            f" runs are rebuilt, {len(over)} had ended; {len(twice)} of"
            f" {len(installation.noted())} steps ran twice, of {len(archived)} archived"
            f" ones none; archive lag p99 {lag.p99()} ms"
        )
    assert over
    assert not twice & archived
    assert rebuilt
    # Only what went back is touched, and no ended run comes to life again.
    assert not rebuilt & {*still, *over}
    query = (
        "SELECT run_id, archived_number FROM blueprints_rungeneration WHERE run_id IN ?"
    )
    lost = dict(installation.rows(query, runs))
    assert rebuilt == lost.keys()
    assert all(number > then[run] for run, number in lost.items())
    assert {len(ids) for ids in installation.step_ids().values()} == {1}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_redis_that_is_away_for_three_leases_doubles_no_long_step(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    away_s = 3 * LEASE_S
    installation.pace(away_s + 4.0)
    workers = [installation.worker(10), installation.worker(10)]
    installation.ready(*workers)
    runs = installation.launch_with_rows(seq(step(), step("quick")), {"n": 0}, 20)
    found = installation.until(
        lambda: sum(installation.noted().values()), lambda n: n == 20, 30
    )
    assert found == 20
    # Nothing that they have claimed may be lost.
    assert installation.store.wire.call("WAITAOF", 1, 0, 5000)[0] == 1
    supervisor = locker_pid(Paths(installation.var).supervisor)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(server_pid(installation.store), signal.SIGKILL)
    time.sleep(away_s)
    os.kill(supervisor, signal.SIGCONT)
    all_done(installation, runs, 60)

    noted = installation.noted()
    doubled = sum(times > 1 for times in noted.values())
    with capsys.disabled():
        print(
            f"\nRedis away for {away_s:.0f} s, 3 leases, with 20 long steps in flight:"
            f" {doubled} doubled"
        )
    assert doubled == 0
    assert len(noted) == 20
    assert set(generations(installation, runs).values()) == {1}
