"""The keeper: its reports of the attempts that it had to kill."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faster_clock import FasterClock
from one_step_runs import NONCE, claimed, frozen, running_store, started
from store_calls import move
from store_server import reconciled

from engine.run.attempt.outcomes import unpack_outcome
from engine.store.base import ROOT, Claimed, Moved, Ref
from engine.store.redis import STATE, RedisStore
from swarm_project.celery import app
from workers.broker.messages import message_template
from workers.celery_worker.claim_table import ClaimTable, SlotWatch
from workers.celery_worker.keeper import GRACE_S, TICK_S, Keeper, tick_lock
from workers.celery_worker.startup import keeper_store
from workers.fleet.worker_guard import WARM_S
from workers.process.posix import is_running
from workers.wiring import make_store


@pytest.fixture
def store() -> Iterator[RedisStore]:
    """A store on a server of its own."""
    with running_store() as made:
        yield made


@pytest.fixture
def keepers(redis_url: str) -> RedisStore:
    """The store of a keeper, on a server whose data were compared with the archive."""
    made = reconciled(make_store())
    made.wire.close()
    return keeper_store()


def late_child(table: ClaimTable, slot: int, ref: Ref, timeout_ms: int = -3000) -> int:
    """Fork a child that shows an attempt, whose time was up three seconds ago."""
    child = os.fork()
    if child == 0:
        SlotWatch(table, slot).chain(ref, 0, NONCE, timeout_ms)
        time.sleep(60)
        os._exit(0)
    while table.read(slot) is None:
        time.sleep(0.01)
    return child


def busy_child(table: ClaimTable, slot: int, ref: Ref, timeout_ms: int = 60_000) -> int:
    """Fork a child that shows an attempt which starts now."""
    return late_child(table, slot, ref, timeout_ms)


def has_ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] == child


def test_a_report_that_redis_refuses_for_good_does_not_delay_the_next(
    store: RedisStore,
) -> None:
    table, good = ClaimTable(), claimed(store)
    bad = Ref("R-bad", 1, ROOT)
    store.wire.call("SET", f"{STATE}r:{bad.key}", "not a hash")
    children = [late_child(table, 0, bad), late_child(table, 1, good)]
    keeper = Keeper(store, table, lambda: children, lambda: False)
    try:
        keeper.tick()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    # The outcome waits as that attempt's own, so that of anyone else comes too late.
    assert store.signal(good, 0, NONCE, b"{}") in ("decided", "over")
    keeper.tick()
    assert len(keeper.unreported) == 0


def test_what_still_runs_when_a_warm_shutdown_has_had_its_time_is_killed(
    tmp_path: Path,
) -> None:
    away = RedisStore(f"unix://{tmp_path}/s", template=message_template(app))
    table, ref, clock = ClaimTable(), Ref("R-1", 1, ROOT), FasterClock()
    child = late_child(table, 0, ref, timeout_ms=60_000)
    keeper = Keeper(away, table, lambda: [child], lambda: False, clock=clock)
    assert WARM_S == 25
    table.drain()
    keeper.tick()
    clock.advance(24)
    keeper.tick()
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    clock.advance(2)
    keeper.tick()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    # Its steps are not reported as failed: another worker makes them again.
    assert len(keeper.unreported) == 0


def test_a_dead_childs_claim_is_over_at_once_and_names_how_it_died(
    store: RedisStore,
) -> None:
    table, ref = ClaimTable(), claimed(store)
    child = busy_child(table, 0, ref)
    os.kill(child, signal.SIGUSR1)
    os.waitpid(child, 0)
    how = f"the last worker was ended by signal 10, pid {child}"
    keeper = Keeper(
        store, table, list, lambda: False, lambda pid: how.replace(str(child), str(pid))
    )
    keeper.tick()
    assert len(keeper.unreported) == 0
    assert store.expire(0) == 1
    again = store.claim(ref, "b" * 12, "swarm.engine")
    assert isinstance(again, Claimed)
    assert again.signal is not None
    assert unpack_outcome(again.signal).text == f"lost after 1 attempts, {how}"
    # Told once: what the successor shows is its own.
    keeper.tick()
    assert store.expire(0) == 0


def test_a_killed_child_leaves_nothing_whatever_it_calls_itself(
    tmp_path: Path,
) -> None:
    away = RedisStore(f"unix://{tmp_path}/s", template=message_template(app))
    table, file = ClaimTable(), tmp_path / "pid"
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.setsid()
            file.write_text(str(os.getpid()))
            code = "import time; time.sleep(60)"
            mark = "workers/process/launcher.py"
            os.execv(sys.executable, [sys.executable, "-c", code, mark])
        while not file.exists() or not file.read_text():
            time.sleep(0.01)
        SlotWatch(table, 0).chain(Ref("R-1", 1, ROOT), 0, NONCE, -3000)
        time.sleep(60)
        os._exit(0)
    while table.read(0) is None:
        time.sleep(0.01)
    daemon = int(file.read_text())
    Keeper(away, table, lambda: [child], lambda: False).tick()
    os.waitpid(child, 0)
    until = time.monotonic() + 5
    while is_running(daemon):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_report_waits_for_a_redis_that_is_away(tmp_path: Path) -> None:
    away = RedisStore(f"unix://{tmp_path}/s", template=message_template(app))
    table, ref = ClaimTable(), Ref("R-1", 1, ROOT)
    child = late_child(table, 0, ref)
    keeper = Keeper(away, table, lambda: [child], lambda: False)
    try:
        keeper.tick()
        keeper.tick()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    assert len(keeper.unreported) == 1


def test_deadlines_apply_while_redis_answers_nothing(keepers: RedisStore) -> None:
    store, table = keepers, ClaimTable()
    # Its report waits for Redis in every tick, beside the renewals.
    late = late_child(table, 0, Ref("R-1", 1, ROOT))
    timeout_s = 0.5
    with frozen(store):
        began = time.monotonic()
        child = busy_child(table, 1, Ref("R-2", 1, ROOT), round(timeout_s * 1000))
        keeper = Keeper(store, table, lambda: [late, child], lambda: False)
        took_s, waited_s = 0.0, 0.0
        over = threading.Event()

        def watch() -> None:
            nonlocal took_s
            while not has_ended(child) and time.monotonic() - began < 20:
                time.sleep(0.02)
            took_s = time.monotonic() - began
            over.set()
            keeper.stop()

        def fork() -> None:
            # Whoever wants to fork, be it for a dead child, waits for a tick.
            nonlocal waited_s
            while not over.wait(0.02):
                since = time.monotonic()
                with tick_lock:
                    waited_s = max(waited_s, time.monotonic() - since)

        # The watchers have the threads: what logs stays in this one, to which an alarm
        # of another test may have left a log's lock.
        watchers = [threading.Thread(target=watch), threading.Thread(target=fork)]
        for watcher in watchers:
            watcher.start()
        keeper.run()
        for watcher in watchers:
            watcher.join()
        os.waitpid(late, 0)
    store.wire.close()
    # At most a second late, and one more for a busy machine.
    assert timeout_s + GRACE_S <= took_s < timeout_s + GRACE_S + 2 * TICK_S
    assert waited_s < 2 * TICK_S


def test_an_answer_from_before_an_outage_kills_no_child(keepers: RedisStore) -> None:
    store, table, clock = keepers, ClaimTable(), FasterClock()
    # Nobody has claimed it, so what the child shows is not its own.
    child = busy_child(table, 0, started(store))
    keeper = Keeper(store, table, lambda: [child], lambda: False, clock=clock)
    try:
        keeper.tick()
        clock.advance(GRACE_S + 0.5)
        with frozen(store):
            keeper.tick()
        assert not has_ended(child)
        keeper.tick()
        assert not has_ended(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        store.wire.close()


def test_retries_are_fired_while_the_steward_loads(store: RedisStore) -> None:
    ref = claimed(store)
    waits = move("w", ref=ref, by=NONCE, offset=0, delay_ms=50)
    assert store.commit(waits) == Moved()
    spawned = iter([True])
    keeper = Keeper(store, ClaimTable(), list, lambda: next(spawned, False))
    keeper.start()
    try:
        begin = time.monotonic()
        while store.record(ref.key, ROOT).state != "p":  # type: ignore[union-attr]
            assert time.monotonic() < begin + 0.9
            time.sleep(0.01)
    finally:
        keeper.stop()
        keeper.join()
