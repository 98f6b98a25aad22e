"""A database that does not answer: runs continue, history catches up afterwards."""

import os
import signal
import sqlite3

import pytest
from fault_installation import Installation, agent, step
from flow_documents import seq

from engine.store.redis import STATE


def archived_to_the_end(installation: Installation) -> bool:
    wire = installation.store.wire
    newest = wire.call("XREVRANGE", f"{STATE}j", "+", "-", "COUNT", 1)
    return bool(wire.call("GET", f"{STATE}archived") == newest[0][0])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_timers_and_leases_do_not_wait_for_a_database_that_hangs(
    installation: Installation,
) -> None:
    installation.pace(30)
    installation.worker()
    [warm] = installation.launch(step("quick"), {"n": 1})
    assert installation.wait([warm], 30) == {warm: "done"}
    assert installation.until(lambda: archived_to_the_end(installation), bool, 20)

    database = sqlite3.connect(installation.var / "db.sqlite3", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    try:
        broken = agent("broken", "fault-raise", max_attempts=3, base_ms=300, cap_ms=300)
        [retried] = installation.launch(step("broken"), {"n": 1}, broken=broken)
        [lost] = installation.launch(seq(step(), step("quick")), {"n": 1})
        noted = installation.until(installation.noted, lambda n: sum(n.values()), 20)
        assert (lost, "/children/0") in noted
        installation.pace(0)
        # The claim of a dead child is given out again by the steward alone.
        line = (installation.var / "runs.log").read_text().splitlines()[0]
        os.kill(int(line.split()[3]), signal.SIGKILL)

        # SQLite waits 20 s for a lock: a steward that waited too would be too late.
        statuses = installation.wait([retried, lost], 15)
        assert statuses == {retried: "failed", lost: "done"}
        tries = [e[0] for _, e in installation.events([retried])]
        assert tries.count("retry") == 2
        assert not archived_to_the_end(installation)
    finally:
        database.close()
    assert installation.until(lambda: archived_to_the_end(installation), bool, 30)
