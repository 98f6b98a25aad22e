"""The steward distinguishes a dead worker from a server that was away."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from faster_clock import FasterClock
from one_step_runs import claimed, frozen, running_store
from store_server import reconciled

from engine.store.redis import STATE, RedisStore
from workers.steward.process import GAP_S, Steward

LEASE_S = 10.0
STEP_S = 1.0


@pytest.fixture
def store() -> Iterator[RedisStore]:
    """A store with short leases on a server of its own."""
    with running_store(lease_ms=round(LEASE_S * 1000)) as made:
        yield reconciled(made)


class Time(FasterClock):
    """Passes for a steward and for its store's scripts alike."""

    def __init__(self, store: RedisStore) -> None:
        super().__init__()
        self.store = store

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        clock = self.store.clock()
        offset = clock.offset + round(seconds * 1000)
        self.store.wire.call("SET", f"{STATE}clock", f"{offset} {clock.beat}")

    def watch(self, steward: Steward, seconds: float) -> None:
        """Let time pass in which a steward has its turns."""
        for _ in range(round(seconds / STEP_S)):
            self.advance(STEP_S)
            assert steward.turn()


@pytest.fixture
def passing(store: RedisStore) -> Time:
    """The time of the steward and of its store."""
    return Time(store)


@pytest.fixture
def steward(store: RedisStore, settings: Any, passing: Time) -> Steward:
    """A steward that has watched for longer than a lease."""
    settings.SWARM_LEASE = LEASE_S
    made = Steward(store, passing)
    passing.watch(made, 2 * LEASE_S)
    return made


def leased(store: RedisStore) -> int:
    return int(store.wire.call("ZCARD", f"{STATE}leases"))


def test_a_lease_that_is_not_renewed_is_taken_back(
    store: RedisStore, steward: Steward, passing: Time
) -> None:
    claimed(store)
    passing.watch(steward, LEASE_S - 4)
    assert leased(store) == 1
    passing.watch(steward, LEASE_S)
    assert leased(store) == 0


def test_a_steward_that_has_just_begun_takes_back_the_leases_of_the_dead(
    store: RedisStore, settings: Any, passing: Time
) -> None:
    settings.SWARM_LEASE = LEASE_S
    claimed(store)
    steward = Steward(store, passing)
    passing.watch(steward, 2)
    assert leased(store) == 1
    store.end_leases()
    passing.watch(steward, 1)
    assert leased(store) == 0


def test_a_server_that_stood_still_has_lost_no_lease(
    store: RedisStore, steward: Steward, passing: Time
) -> None:
    claimed(store)
    passing.watch(steward, LEASE_S - 2)
    with frozen(store):
        # Its question is in the server's socket when that continues.
        asking = threading.Thread(target=steward.expire)
        asking.start()
        time.sleep(GAP_S + 0.5)
    asking.join()
    assert leased(store) == 1
    # Whoever is alive has a lease's time to say so.
    assert steward.turn()
    assert leased(store) == 1


def test_a_server_that_was_away_has_lost_no_lease(
    store: RedisStore, steward: Steward, passing: Time
) -> None:
    claimed(store)
    passing.advance(2 * LEASE_S)
    # What `main` does when Redis did not answer.
    steward.lose_contact()
    assert steward.turn()
    assert leased(store) == 1
    passing.watch(steward, 2 * LEASE_S)
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
