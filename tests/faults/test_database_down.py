"""A database that is down: runs go on to their ends, and the archive catches up."""

import subprocess
import sys

import pytest
from fault_installation import REPO, Installation, fanout, step
from flow_documents import seq
from postgres_cluster import Cluster, running_cluster

RUNS = 12
FLOW = seq(
    *[step() for _ in range(6)],
    fanout(list(range(4)), seq(step(), step())),
    step(),
)
PLACES = 6 + 8 + 1


def counted(cluster: Cluster, query: str) -> int:
    """Return the one number that a query gives."""
    return int(cluster.sql("down", query))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_runs_go_on_without_a_database_and_the_archive_catches_up(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_cluster() as cluster:
        url = installation.env["SWARM_REDIS_URL"]
        installation.settle(url, cluster.database("down"))
        installation.pace(0.1)
        installation.ready(installation.worker())
        runs = installation.launch_with_rows(FLOW, {"n": 0}, RUNS)
        some = RUNS * PLACES // 4

        def ran() -> int:
            return sum(installation.noted().values())

        assert installation.until(ran, lambda found: found >= some, 60) >= some
        cluster.stop()
        before = ran()
        try:
            # Redis has the truth, so that nothing waits.
            assert installation.wait(runs, 90) == dict.fromkeys(runs, "done")
            meanwhile = ran() - before
            assert meanwhile > 0
        finally:
            cluster.start()

        query = "SELECT count(*) FROM blueprints_run WHERE status = 'done'"
        done = installation.until(
            lambda: counted(cluster, query), lambda n: n == RUNS, 60
        )
        assert done == RUNS, installation.log(0)[-3000:]
        passed = "SELECT count(*) FROM blueprints_step WHERE status = 'passed'"
        assert counted(cluster, passed) == RUNS * PLACES
        noted = installation.noted()
        with capsys.disabled():
            print(
                f"\nthe database was down for {meanwhile} of {RUNS * PLACES} steps:"
                f" {sum(n > 1 for n in noted.values())} ran twice, all are archived"
            )
        assert set(noted.values()) == {1}
        check = subprocess.run(
            [sys.executable, "manage.py", "journal", "verify"],
            cwd=REPO,
            env=installation.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert check.returncode == 0, check.stdout + check.stderr
