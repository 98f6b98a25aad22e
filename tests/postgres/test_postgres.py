"""PostgreSQL behaves like SQLite, on a private cluster."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from command_shell import REPO, Shell, naps
from journal_before import BECAME
from postgres_cluster import Cluster
from programs_before import MOVED
from server_commands import stop_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUITES = (
    "tests/test_isolation.py",
    "tests/blueprints",
    "tests/workers/steward/test_database_duties.py",
    "tests/workers/terminal/test_session.py",
    "tests/workers/archive/test_upsert.py",
    "tests/workers/archive/test_journal.py",
    "tests/workers/archive/test_outputs.py",
    "tests/workers/runs/test_retention.py",
    "tests/workers/runs/test_run_file.py",
)
ONLY_SQLITE = (
    "tests/blueprints/models/test_constraints.py"
    "::test_sqlite_begins_write_transactions_at_once"
)
ASK = """
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW statement_timeout")
    print(cursor.fetchone()[0])
"""


@pytest.fixture
def shell(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> Iterator[Shell]:
    """A fresh installation whose history goes to a database of its own."""
    var = tmp_path_factory.mktemp("v")
    made = Shell(var)
    made.env["DATABASE_URL"] = cluster.database(var.name)
    try:
        yield made
    finally:
        stop_server(made.var)


def test_a_sample_runs_and_its_whole_history_is_kept(shell: Shell, cluster: Cluster):
    sample = "blueprints/samples/unreliable.json"
    modules = {"SWARM_AGENT_MODULES": "blueprints.samples.functions"}

    assert shell.run("run", sample, "--json", **modules) == 0, shell.err
    got = json.loads(shell.out)
    assert got["status"] == "done"
    assert {step["status"] for step in got["steps"]} == {"passed", "failed"}
    assert max(step["attempts"] for step in got["steps"]) == 3

    name = shell.var.name
    count = "SELECT count(*) FROM blueprints_"
    assert int(cluster.sql(name, f"{count}step")) == len(got["steps"])
    attempts = sum(step["attempts"] for step in got["steps"])
    assert int(cluster.sql(name, f"{count}attempt")) == attempts
    ends = f"{count}runevent WHERE convert_from(data, 'UTF8') LIKE '%run_done%'"
    assert cluster.sql(name, ends) == "1"
    assert shell.run("runs", "show", got["run"]) == 0
    assert "✔ /children/0" in shell.out


def test_a_wide_fanout_is_archived_to_its_end(shell: Shell, cluster: Cluster):
    step = naps(0)["children"][0]
    step["in"] = {"op": "path", "at": "$.n"}
    flow = {
        "kind": "fanout",
        "items": {"op": "lit", "value": [0] * 300},
        "bind": {"op": "path", "at": "$.n"},
        "body": step,
        "join": "all",
        "out": {"op": "path", "at": "$.out"},
    }

    assert shell.run("run", shell.write(flow), "--json") == 0, shell.err
    assert len(json.loads(shell.out)["steps"]) == 300
    passed = "SELECT count(*) FROM blueprints_step WHERE status = 'passed'"
    assert cluster.sql(shell.var.name, passed) == "300"


def test_a_statement_that_hangs_is_bounded(shell: Shell):
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=REPO,
        env={**shell.env, "DJANGO_SETTINGS_MODULE": "swarm_project.settings"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "30s\n"


@pytest.mark.parametrize(
    ("script", "became"),
    [("programs_before.py", MOVED), ("journal_before.py", BECAME)],
)
def test_old_rows_are_migrated(shell: Shell, script: str, became: object):
    done = subprocess.run(
        [sys.executable, REPO / "tests" / "support" / script],
        cwd=REPO,
        env={
            **shell.env,
            "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
            "PYTHONPATH": str(REPO),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == became


def test_the_suites_of_the_database_pass(cluster: Cluster):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0"),
            *("-p", "no:cacheprovider", "-p", "database_tests"),
            *("--deselect", ONLY_SQLITE, *SUITES),
        ],
        cwd=REPO,
        env={
            **os.environ,
            "SWARM_TEST_DATABASE_URL": cluster.database("suites"),
            "PYTHONPATH": str(REPO / "tests" / "support"),
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
