"""The wall clock of the Redis host is set: only the time that passed counts.

For the scripts a jump of the wall clock by X is the same as X more in their offset.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from one_step_runs import NONCE, QUEUE, claimed, running_store, started
from store_server import reconciled

from engine.store.base import Claimed, Move, MoveKind, Pending, Ref
from engine.store.record import ChainState
from engine.store.redis import STATE, RedisStore
from workers.steward.process import Steward

LEASE_S = 0.3
WAIT_S = 0.6
HOURS, MINUTES = 2 * 3600, 600
JUMPS = pytest.mark.parametrize("seconds", [HOURS, -HOURS, MINUTES, -MINUTES])


@pytest.fixture(scope="module")
def used() -> Iterator[RedisStore]:
    """One store with short leases for all jumps."""
    with running_store(lease_ms=round(LEASE_S * 1000)) as made:
        yield made


@pytest.fixture
def store(used: RedisStore) -> RedisStore:
    """An empty store."""
    used.wire.call("FLUSHALL")
    return reconciled(used)


@pytest.fixture
def steward(store: RedisStore, settings: Any) -> Steward:
    """A steward that has looked at the clock before."""
    settings.SWARM_LEASE = LEASE_S
    made = Steward(store)
    assert made.turn()
    return made


def jump(store: RedisStore, seconds: int) -> None:
    clock = store.clock()
    store.wire.call(
        "SET", f"{STATE}clock", f"{clock.offset + seconds * 1000} {clock.beat}"
    )


def waited(
    steward: Steward, over: Callable[[], bool], began: float | None = None
) -> float:
    """Return after how many seconds, of which the steward has turns, something is over."""
    began = time.monotonic() if began is None else began
    while not over():
        assert time.monotonic() - began < 20, "it never ends"
        assert steward.turn()
        time.sleep(0.02)
    return time.monotonic() - began


def status(store: RedisStore, ref: Ref) -> str:
    head = store.head(ref.run)
    assert head is not None
    return head.status


def waiting(store: RedisStore) -> Ref:
    """Start a run whose first step failed and is to be tried again after WAIT_S."""
    ref = claimed(store)
    record = store.record(ref.key, ref.addr)
    assert record is not None
    pending = Pending(record.frames, QUEUE, record.place, 60_000)
    delay = round(WAIT_S * 1000)
    entry = b'{"e":[["retry"]]}'
    move = Move(
        ref,
        record.seq,
        NONCE,
        MoveKind.WAIT,
        record.loglen,
        b"",
        pending,
        entry,
        delay_ms=delay,
    )
    store.commit(move)
    return ref


def is_waiting(store: RedisStore, ref: Ref) -> bool:
    record = store.record(ref.key, ref.addr)
    assert record is not None
    return record.state is ChainState.WAITING


@JUMPS
def test_a_lease_is_neither_over_early_nor_valid_for_hours(
    store: RedisStore, steward: Steward, seconds: int
) -> None:
    began = time.monotonic()
    claimed(store)
    jump(store, seconds)
    leases = f"{STATE}leases"
    took = waited(steward, lambda: not store.wire.call("ZCARD", leases), began)
    # The steward watches for a lease's time after a jump, and everybody renews.
    assert took > LEASE_S / 2


@JUMPS
def test_a_retry_waits_for_its_delay(
    store: RedisStore, steward: Steward, seconds: int
) -> None:
    began = time.monotonic()
    ref = waiting(store)
    jump(store, seconds)
    assert waited(steward, lambda: not is_waiting(store, ref), began) > WAIT_S * 0.7


@JUMPS
def test_a_run_deadline_measures_what_passed(
    store: RedisStore, steward: Steward, seconds: int
) -> None:
    began = time.monotonic()
    ref = started(store, deadline_ms=round(WAIT_S * 1000))
    jump(store, seconds)
    took = waited(steward, lambda: status(store, ref) != "running", began)
    assert took > WAIT_S * 0.7
    assert b"exceeded after 1 s" in store.journal("0", 10)[-1].data


@JUMPS
def test_what_is_timed_before_the_steward_has_seen_the_jump_is_set_right(
    store: RedisStore, steward: Steward, seconds: int
) -> None:
    jump(store, seconds)
    began = time.monotonic()
    retried, late = waiting(store), started(store, deadline_ms=round(WAIT_S * 1000))
    claimed(store)
    took = waited(
        steward,
        lambda: (
            not is_waiting(store, retried)
            and status(store, late) != "running"
            and not store.wire.call("ZCARD", f"{STATE}leases")
        ),
        began,
    )
    assert took > WAIT_S * 0.3


@JUMPS
def test_a_lost_message_is_sent_again_in_time_and_a_waiting_one_is_not(
    store: RedisStore, steward: Steward, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.steward.process.LOST_MESSAGE_MS", 1500)
    queue = f"swarm:q:{QUEUE}"
    before, lost = started(store), 2
    jump(store, seconds)
    started(store)
    assert store.wire.call("LLEN", queue) == lost
    for _ in range(5):
        assert steward.turn()
    assert store.wire.call("LLEN", queue) == lost, "nothing was lost yet"
    store.wire.call("DEL", queue)
    waited(steward, lambda: store.wire.call("LLEN", queue) == lost)
    assert isinstance(store.claim(before, NONCE, QUEUE), Claimed)


@JUMPS
def test_a_dead_stewards_lock_is_taken_over(
    store: RedisStore, steward: Steward, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.steward.process.LOCK_TTL_MS", 300)
    # The key of the dead one as it stands when the clock was set back for good.
    store.wire.call("SET", f"{STATE}steward", "dead")
    jump(store, seconds)
    successor = Steward(store)
    assert not successor.turn()
    deadline = time.monotonic() + 5
    while not successor.turn():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_steward_that_finds_the_clock_set_back_lets_time_continue(
    store: RedisStore, steward: Steward
) -> None:
    before = store.clock().now
    jump(store, -HOURS)
    assert store.clock().now == before or store.clock().now - before < 1000
    ref = started(store, deadline_ms=400)
    assert Steward(store).who
    steward.leave()
    successor = Steward(store)
    waited(successor, lambda: status(store, ref) != "running")


def test_a_clock_that_runs_as_it_should_is_left_alone(
    store: RedisStore, steward: Steward
) -> None:
    waited(steward, lambda: store.clock().now - store.clock().beat < 100)
    for _ in range(20):
        assert steward.turn()
        time.sleep(0.05)
    assert store.clock().offset == 0
