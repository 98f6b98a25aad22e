"""The doctor's check of the journal: how far the archive is behind."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flow_documents import seq
from redis import Redis
from rig import Rig, step

from engine.store.redis import STATE
from workers.archive.archiver import Archiver
from workers.doctor import journal
from workers.doctor.journal import findings, lag_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    """A client as the doctor has it."""
    with Redis.from_url(redis_url) as client:
        yield client


def entry(rig: Rig, ago_s: float) -> None:
    """Write an entry as if it was written some seconds ago."""
    at = round((time.time() - ago_s) * 1000)
    rig.store.wire.call("XADD", f"{STATE}j", f"{at}-1", "r", "R-1", "e", b"{}")


def test_the_lag_is_told_in_entries_and_seconds(rig: Rig, redis: Any) -> None:
    assert lag_of(redis).entries == 0
    [found] = findings(redis)
    assert (found.level, found.text[-32:]) == ("ok", "; no entry waits for the archive")
    rig.launch(seq(step()))
    rig.work_off()
    lag = lag_of(redis)
    assert (lag.entries, lag.is_all) == (len(rig.store.journal("0", 99)), True)
    assert 0 <= lag.seconds < 60
    Archiver(rig.store).turn()
    # Archived entries stay a while for live followers.
    assert rig.store.journal("0", 99)
    assert lag_of(redis).entries == 0


def test_a_lag_of_more_than_a_minute_is_a_warning(rig: Rig, redis: Any) -> None:
    for ago in (90, 80, 5):
        entry(rig, ago)
    [found] = findings(redis)
    assert found.level == "warn"
    assert "3 entries wait for the archive, the oldest for 90." in found.text
    assert "nothing is archived" in found.hint


def test_the_count_ends_after_its_time(
    rig: Rig, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "READ_ENTRIES", 1)
    entry(rig, 3)
    entry(rig, 2)
    lag = lag_of(redis, 0)
    assert (lag.entries, lag.is_all) == (1, False)
    assert str(lag).startswith("at least 1 entry waits")
