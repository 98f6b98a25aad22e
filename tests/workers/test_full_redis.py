"""A Redis at its maxmemory: the steward keeps its lock and archives, which makes room."""

from typing import Any

import pytest
from celery import current_app
from kombu import Exchange, Queue

from blueprints.models import Run, RunEvent
from blueprints.services.runs import Launch
from engine.blueprint import Program
from engine.store.wire import RECONCILED
from workers.archive import archiver as archive_module
from workers.archive.archiver import Archiver
from workers.runs.launch import LaunchRefused, launch, start_run
from workers.runs.reconciling import reconcile
from workers.steward.process import Steward

NOTHING = Program("b", {"kind": "seq", "children": []}, {})


def fill(store: Any) -> None:
    store.wire.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    store.wire.call("CONFIG", "SET", "maxmemory", "1")


@pytest.mark.django_db(transaction=True)
def test_a_full_redis_is_archived_trimmed_and_led(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = launch(store, Launch(NOTHING, {"n": 1}))
    steward, archiver = Steward(store), Archiver(store)
    fill(store)

    # Its server may be a new one: that it was compared can be noted all the same.
    store.wire.call("DEL", RECONCILED)
    reconcile(store)
    assert store.standing().is_reconciled
    assert steward.turn()
    assert archiver.turn() == 1
    assert RunEvent.objects.filter(run=run).exists()
    [kept] = store.journal("0", 10)
    assert store.archived() == kept.id
    # What was kept for live followers is trimmed once it is old.
    monkeypatch.setattr(archive_module, "KEEP_MS", 1)
    monkeypatch.setattr(archiver, "_trimmed", 0.0)
    monkeypatch.setattr(archiver, "_measured", 0.0)
    assert archiver.turn() == 0
    assert store.journal("0", 10) == []
    steward.leave()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_met", [False, True])
def test_a_full_redis_refuses_a_launch_with_the_reason(
    store: Any, is_met: bool
) -> None:
    if is_met:
        reconcile(store)
    fill(store)

    with pytest.raises(LaunchRefused, match="Redis is full"):
        launch(store, Launch(NOTHING, {"n": 1}))
    assert store.journal("0", 10) == []
    # The launch reported that nothing was started, so no run may start later.
    run = Run.objects.get()
    assert (run.status, run.error["kind"]) == ("failed", "NotStarted")
    store.wire.call("CONFIG", "SET", "maxmemory", "0")
    assert start_run(store, run) == "failed"


def test_a_worker_can_begin_to_consume_from_a_full_redis(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its steward is what makes room."""
    with current_app.connection_for_read() as connection:
        channel = connection.default_channel
        fill(store)
        reply = Queue("r.reply", Exchange("r", "direct"), routing_key="r", expires=10)
        reply(channel).declare()
        Queue("r.pidbox", Exchange("p", "fanout"))(channel).declare()
        channel.qos.restore_visible(interval=1)
        channel._active_queues.append("r.reply")
        channel.maybe_refresh_binding_expiry()
        assert "r.pidbox" in channel._fanout_queues
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert not store.wire.call("KEYS", "swarm:q:*")
