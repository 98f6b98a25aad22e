"""A Redis that can't write to its disk: said in plain words, and as good as away."""

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import current_app
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError
from store_server import fill_disk, make_room

from blueprints.models import Run
from engine.store.address import Address, RedisUnwritable
from workers.duties import AWAY
from workers.fleets import SetupFailed, reach
from workers.room import AGAIN, GRACE_S, Overdue, Room, redis_fault, var_fault
from workers.runtime import make_store
from workers.server_supervisor import probe
from workers.steward import Steward

FULL = r"^Redis can't write to its disk \(File too large\) and takes nothing"


@pytest.fixture
def full(redis_url: str) -> Iterator[int]:
    """The process id of a server whose disk is full, and which knows it."""
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        pid = fill_disk(client)
        # The first write is answered before the disk is asked.
        until(lambda: refused(client))
        yield pid


def until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def refused(client: Any) -> bool:
    try:
        client.set("x", "x" * 100)
    except redis.ResponseError:
        return True
    return False


def socket_of(url: str) -> str:
    return url.removeprefix("unix://").partition("?")[0]


def test_it_is_told_in_a_line_and_over_when_there_is_room(
    full: int, redis_url: str
) -> None:
    with pytest.raises(SetupFailed, match=FULL):
        reach(Address.of(redis_url))
    store = make_store()
    with pytest.raises(RedisUnwritable, match=FULL):
        store.finish("R-1", "cancelled", "no")
    # It is up all the same: nobody needs to start another.
    assert probe(socket_of(redis_url))[0] == "up"
    assert store.head("R-1") is None

    make_room(full)
    until(lambda: redis_fault(store) == "")
    assert store.finish("R-1", "cancelled", "no") == "ok"
    store.wire.close()


def test_what_has_patience_waits_for_room(full: int) -> None:
    store = make_store(patience_s=20.0)
    later = threading.Timer(0.5, make_room, [full])
    later.start()
    assert store.finish("R-1", "cancelled", "no") == "ok"
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


def test_who_follows_a_run_says_it_once_and_ends_at_the_deadline(full: int) -> None:
    room = Room(Run(deadline_at=timezone.now() + timedelta(hours=1)))
    assert room.look().startswith("Redis can't write to its disk")
    assert room.look() == ""
    late = Room(Run(deadline_at=timezone.now() - timedelta(seconds=2 * GRACE_S)))
    with pytest.raises(Overdue, match=FULL):
        late.look()

    make_room(full)
    until(lambda: room.look() == AGAIN)
    assert room.look() == ""
    assert late.look() == AGAIN
    room.close()
    late.close()


def test_a_folder_that_takes_nothing_is_told(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overdue = timezone.now() - timedelta(seconds=2 * GRACE_S)
    room = Room(Run(deadline_at=overdue))
    assert room.look() == ""
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path / "gone")
    assert (
        var_fault() == f"{tmp_path}/gone can't be written (No such file or directory)"
    )
    # Redis notes the run's end: it is not told without it.
    assert "free some space" in room.look()
    room.close()
