"""A Redis that can't write to its disk is reported, and treated like one that is away."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.db import connection
from django.utils import timezone
from kombu.exceptions import OperationalError
from store_server import fill_disk, make_room
from waiting import until

from blueprints.models import Run
from blueprints.stores.outputs.database import DatabaseOutputs
from engine.output_store import OutputsAway
from engine.store.server_url import RedisUnwritable, ServerUrl
from workers.embedded_server.supervisor import answering_pid
from workers.fleet.prerequisites import SetupFailed, reach
from workers.runs.full_storage import (
    FREE_AGAIN,
    GRACE_S,
    Overdue,
    StorageWatch,
    redis_fault,
    var_fault,
)
from workers.steward.process import Steward
from workers.wiring import AWAY, make_store

FULL = r"^Redis can't write to its disk \(File too large\) and takes no writes"


@pytest.fixture
def full(redis_url: str) -> Iterator[int]:
    """The process id of a server whose disk is full, and which knows it."""
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        pid = fill_disk(client)
        # The first write is answered before the disk is asked.
        until(lambda: refused(client))
        yield pid


def refused(client: Any) -> bool:
    try:
        client.set("x", "x" * 100)
    except redis.ResponseError:
        return True
    return False


def socket_of(url: str) -> str:
    return url.removeprefix("unix://").partition("?")[0]


def test_it_is_reported_in_a_line_and_over_when_there_is_room(
    full: int, redis_url: str
) -> None:
    with pytest.raises(SetupFailed, match=FULL):
        reach(ServerUrl.of(redis_url))
    store = make_store()
    with pytest.raises(RedisUnwritable, match=FULL):
        store.finish("R-1", 1, "cancelled", "no")
    # It is up all the same: no other needs to start.
    assert answering_pid(socket_of(redis_url))
    assert store.head("R-1") is None

    make_room(full)
    until(lambda: redis_fault(store) == "")
    assert store.finish("R-1", 1, "cancelled", "no") == "ok"
    store.wire.close()


def test_what_has_patience_waits_for_room(full: int) -> None:
    store = make_store(patience_s=20.0)
    later = threading.Timer(0.5, make_room, [full])
    later.start()
    assert store.finish("R-1", 1, "cancelled", "no") == "ok"
    later.join()
    store.wire.close()


def test_to_a_steward_it_is_away(full: int) -> None:
    store = make_store()
    with pytest.raises(AWAY):
        Steward(store).turn()
    store.wire.close()


def test_to_a_worker_it_is_away(redis_url: str) -> None:
    """Else taking the next message, which writes, ended the whole worker."""
    with (
        current_app.connection_for_read() as connection,
        contextlib.closing(redis.Redis.from_url(redis_url)) as client,
    ):
        channel = connection.default_channel
        fill_disk(client)
        until(lambda: refused(client))
        with pytest.raises(connection.connection_errors, match=FULL):
            channel.client.brpop("q", timeout=1)
        with (
            current_app.connection_for_read() as late,
            pytest.raises(OperationalError, match=FULL),
        ):
            late.ensure_connection(max_retries=1, interval_start=0)


def test_a_follower_of_a_run_reports_it_once_and_ends_at_the_deadline(
    full: int,
) -> None:
    room = StorageWatch(Run(deadline_at=timezone.now() + timedelta(hours=1)))
    assert room.check().startswith("Redis can't write to its disk")
    assert room.check() == ""
    late = StorageWatch(
        Run(deadline_at=timezone.now() - timedelta(seconds=2 * GRACE_S))
    )
    with pytest.raises(Overdue, match=FULL):
        late.check()

    make_room(full)
    until(lambda: room.check() == FREE_AGAIN)
    assert room.check() == ""
    assert late.check() == FREE_AGAIN
    room.close()
    late.close()


def test_a_folder_that_takes_nothing_is_reported(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overdue = timezone.now() - timedelta(seconds=2 * GRACE_S)
    room = StorageWatch(Run(deadline_at=overdue))
    assert room.check() == ""
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path / "gone")
    assert (
        var_fault() == f"{tmp_path}/gone can't be written (No such file or directory)"
    )
    # Redis records the run's end: it is not reported before.
    assert "free some space" in room.check()
    room.close()


@pytest.mark.django_db(transaction=True)
def test_outputs_in_a_full_database_are_away() -> None:
    with connection.cursor() as cursor:
        # Pages that earlier tests have left free don't count.
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages + 10}")
    with pytest.raises(OutputsAway, match=r"can't be written \(.*is full\)"):
        DatabaseOutputs().put(b"x" * 1_000_000)
    # The bound is that of this connection.
    connection.close()

    assert DatabaseOutputs().put(b"x" * 1_000_000)
