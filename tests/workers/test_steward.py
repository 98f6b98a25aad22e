"""The steward: what it takes for a dead worker, and what for a server that was away."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store.redis import STATE, RedisStore
from swarm_project.celery import app
from workers.queue import message_template
from workers.steward import GAP_S, Steward

sys.path.append(str(Path(__file__).parents[1] / "engine" / "store"))

from claims import claimed, frozen
from store_server import running_server

LEASE_S = 0.5


@pytest.fixture
def store() -> Iterator[RedisStore]:
    """A store with short leases on a server of its own."""
    with running_server() as socket:
        made = RedisStore(
            f"unix://{socket}",
            template=message_template(app),
            lease_ms=round(LEASE_S * 1000),
        )
        yield made
        made.wire.close()


@pytest.fixture
def steward(store: RedisStore, settings: Any) -> Steward:
    """A steward that has watched for longer than a lease."""
    settings.SWARM_LEASE = LEASE_S
    made = Steward(store)
    watch(made, 2 * LEASE_S)
    return made


def watch(steward: Steward, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert steward.turn()
        time.sleep(0.05)


def leased(store: RedisStore) -> int:
    return int(store.wire.call("ZCARD", f"{STATE}leases"))


def test_a_lease_that_nobody_renews_is_taken_back(
    store: RedisStore, steward: Steward
) -> None:
    claimed(store)
    watch(steward, 3 * LEASE_S)
    assert leased(store) == 0


def test_a_server_that_stood_still_has_lost_nobody(
    store: RedisStore, steward: Steward
) -> None:
    claimed(store)
    with frozen(store):
        # Its question is in the server's socket when that goes on again.
        asking = threading.Thread(target=steward.expire)
        asking.start()
        time.sleep(GAP_S + 0.5)
    asking.join()
    assert leased(store) == 1
    # Whoever is alive has a lease's time to say so.
    assert steward.turn()
    assert leased(store) == 1


def test_a_server_that_was_away_has_lost_nobody(
    store: RedisStore, steward: Steward
) -> None:
    claimed(store)
    time.sleep(2 * LEASE_S)
    # What `main` does when Redis did not answer.
    steward.lost_sight()
    assert steward.turn()
    assert leased(store) == 1
    watch(steward, 3 * LEASE_S)
    assert leased(store) == 0


def test_a_turn_fires_all_the_timers_that_are_due(store: RedisStore) -> None:
    call, now = store.wire.call, store.now_ms()
    for at in range(0, 3_000, 500):
        members = [(now - 1, f"R-{n}|1|0|0|retry") for n in range(at, at + 500)]
        call("ZADD", f"{STATE}t", *(part for pair in members for part in pair))
    steward = Steward(store)
    turns = 0
    while call("ZCARD", f"{STATE}t"):
        assert steward.turn()
        turns += 1
        steward.fire()
    # A page a turn would be thirty of them, 0.1 s apart.
    assert turns < 10
