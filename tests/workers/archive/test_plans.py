"""What the archiver reads costs no more in a run of a million steps than in a small one.

The plans are those of SQLite: PostgreSQL plans by the size of a table.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from flow_documents import seq
from rig import Rig, step

from engine.store.redis_reads import STATE
from workers.archive.archiver import Archiver


@pytest.mark.django_db(transaction=True)
def test_rows_of_a_run_are_found_by_the_whole_index(rig: Rig) -> None:
    rig.launch(seq(step("$.n"), step("$.m"), step("$.k")), {"n": 1, "m": 2, "k": 3})
    rig.work_off(most=1, steps=1)
    Archiver(rig.store).turn()
    # The next archiver gets the same entries again, and those that follow.
    rig.store.wire.call("DEL", f"{STATE}archived")
    rig.work_off()
    with CaptureQueriesContext(connection) as queries:
        Archiver(rig.store).turn()

    plans = []
    for one in queries.captured_queries:
        if "json_each" in one["sql"]:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {one['sql']}")
                plans.append(" ".join(row[3] for row in cursor.fetchall()))
    for column, times in {"place": 2, "number": 1}.items():
        whole = f"(run_id=? AND generation=? AND {column}=?)"
        assert sum(whole in plan for plan in plans) == times, plans
