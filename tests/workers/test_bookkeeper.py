"""The steward's bookkeeper works only for a steward that holds the lock."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from blueprints.models import RunEvent
from engine.blueprint import Program
from engine.store.redis import STATE
from workers.bookkeeper import Bookkeeper
from workers.launching import launch
from workers.runtime import make_store
from workers.steward import Steward

sys.path.append(str(Path(__file__).parents[1] / "engine" / "store"))

from store_server import running_server


@pytest.fixture
def redis_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real server that the settings name."""
    with running_server() as socket:
        url = f"unix://{socket}?db=0"
        monkeypatch.setattr(settings, "SWARM_STATE_URL", url)
        yield url


def eventually(true: Callable[[], object], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())


@pytest.mark.django_db(transaction=True)
def test_a_steward_that_lost_the_lock_archives_nothing_until_it_is_elected_again(
    redis_url: str,
) -> None:
    store = make_store()
    steward, other = Steward(store), Steward(make_store())
    assert steward.turn()
    assert steward.leads()

    steward.leave()
    assert other.turn()
    assert not steward.turn()
    assert not steward.leads()
    bookkeeper = Bookkeeper(make_store(), steward.leads)
    bookkeeper.start()
    try:
        flow = {"kind": "seq", "children": []}
        run = launch(store, program=Program("b", flow, {}), ctx={"n": 1})
        time.sleep(1.0)
        assert store.wire.call("GET", f"{STATE}archived") is None
        assert not RunEvent.objects.filter(run=run).exists()

        other.leave()
        archived = RunEvent.objects.filter(run=run)
        assert eventually(lambda: steward.turn() and archived.exists())
    finally:
        bookkeeper.end(10)
    assert not bookkeeper.is_alive()
