"""Celery sees every valid message, and none of the others."""

import json
from typing import Any

import pytest
from bad_messages import BAD, FILL, QUEUE, filled, theirs

from swarm_project.celery import app
from workers.broker.message_checks import SHOWN, Malformed, check, check_kept, read
from workers.broker.messages import is_own, message_template

TASKS = {"swarm.run_step", "swarm.advance_run", "others.ping", "celery.chord_unlock"}


def judged(data: bytes, queue: str = QUEUE) -> str:
    """Return what is wrong with a message, empty if nothing is."""
    try:
        check(read(data), queue, TASKS)
    except Malformed as fault:
        assert not is_own(data, queue, TASKS)
        return str(fault)
    return ""


def test_there_are_more_bad_messages_than_once_ended_a_worker() -> None:
    assert len(BAD) > 150


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_refused_with_a_plain_reason(name: str) -> None:
    why = judged(BAD[name])
    assert why
    assert why.isascii()
    assert why.isprintable()
    assert len(why) < 3 * SHOWN


@pytest.mark.parametrize(
    "slots",
    [
        {},
        {"R": "R-0198f3c2a1b27d1e8f0011223344556677"},
        {"A": "0", "K": "swarm.advance_run", "Q": "swarm.engine"},
        {"A": "0.k3:0-64"},
        {"A": "0.k1.2.k0.11.k7:64-128", "L": "999999"},
        {"Q": "gpu.lo"},
        # The longest name of a queue, with its priority; and a kind's own spelling.
        {"Q": "g" * 64 + ".hi"},
        {"Q": "swarm.MyKind"},
    ],
)
def test_what_the_scripts_write_is_taken(slots: dict[str, str]) -> None:
    data = json.dumps(filled(**slots)).encode()
    queue = slots.get("Q", QUEUE)
    assert judged(data, queue) == ""
    assert is_own(data, queue, TASKS)
    assert not is_own(data, "swarm.other", TASKS)
    assert not is_own(data, queue, {"others.ping"})
    # Whatever else is taken for our own must be as good.
    for at in range(len(data)):
        for byte in b'\0\n"\\9/':
            judged(data[:at] + bytes([byte]) + data[at + 1 :], queue)


@pytest.mark.parametrize(
    "slots",
    [
        {"A": "0.k3:64-64"},
        {"A": "0.k3:9-2"},
        {"A": "0\n"},
        {"N": "01"},
        {"N": "-1"},
        {"L": "29"},
        {"L": "1e9"},
        {"L": "1000000000"},
        {"Q": "swarm.lua\n"},
        {"K": "celery.chord_unlock"},
        {"R": "R" * 65},
        {"R": "R/1"},
    ],
)
def test_what_no_script_writes_is_not_our_own(slots: dict[str, str]) -> None:
    text = message_template(app).decode().split("\n", 1)[1]
    for letter, value in (FILL | slots).items():
        text = text.replace("\0" + letter, value)
    assert not is_own(text.encode(), slots.get("Q", QUEUE), TASKS)


def redelivered() -> dict[str, Any]:
    """Return a message that kombu has put back into its queue."""
    message = filled()
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    return message


@pytest.mark.parametrize(
    "message",
    [
        redelivered(),
        theirs(),
        theirs(eta="2030-01-01T00:00:00+00:00", expires=None, retries=3),
        theirs(timelimit=[None, None], stamped_headers=["a"], stamps={"a": ["b"]}),
        theirs(timelimit=[3.5, 2], traceparent="00-1-2-01", group_index=0),
    ],
)
def test_what_celery_itself_sends_is_taken(message: dict[str, Any]) -> None:
    assert judged(json.dumps(message).encode()) == ""


def control(body: Any, key: str = "worker.online", **headers: Any) -> bytes:
    """Return a message of Celery's own talk."""
    message = theirs()
    message["properties"]["delivery_info"]["routing_key"] = key
    message["headers"] = headers
    message["properties"]["body_encoding"] = None
    message["body"] = json.dumps(body)
    return json.dumps(message).encode()


BOX = "celery@host.celery.pidbox"
PING: dict[str, Any] = {
    "method": "ping", "arguments": {}, "destination": None, "pattern": None,
    "matcher": None, "ticket": "t",
    "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "r"},
}  # fmt: skip
EVENT = {"type": "worker-online", "hostname": "celery@host", "clock": 3, "pid": 1,
         "timestamp": 1.5, "utcoffset": 0}  # fmt: skip
BEAT = {"type": "worker-heartbeat", "freq": 2.0, "active": 0, "processed": 3,
        "loadavg": [0.1, 0.2, 0.3], "sw_ident": "py-celery", "sw_ver": "5",
        "sw_sys": "Linux"}  # fmt: skip
TASK = {"type": "task-received", "uuid": "x", "name": "celery.ping", "root_id": "x",
        "parent_id": None, "retries": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("queue", "data"),
    [
        (BOX, control(PING, clock=4, expires=17.5)),
        ("5f.reply.celery.pidbox", control({"celery@host": {"ok": "pong"}})),
        ("celeryev.5f", control(EVENT, hostname="celery@host")),
        ("celeryev.5f", control(EVENT | BEAT, "worker.heartbeat")),
        ("celeryev.5f", control([EVENT | TASK, EVENT | TASK], "task.multi")),
    ],
)
def test_celerys_own_talk_is_taken(queue: str, data: bytes) -> None:
    assert judged(data, queue) == ""


@pytest.mark.parametrize(
    ("queue", "data"),
    [
        (BOX, control([])),
        (BOX, control({})),
        (BOX, control(PING | {"method": [1]})),
        (BOX, control(PING | {"arguments": [1]})),
        (BOX, control(PING | {"destination": 7})),
        (BOX, control(PING | {"pattern": {}})),
        (BOX, control(PING | {"reply_to": "me"})),
        (BOX, control(PING | {"reply_to": {}})),
        (BOX, control(PING, clock="late")),
        ("5f.reply.celery.pidbox", control([1])),
        ("celeryev.5f", control([1])),
        ("celeryev.5f", control(EVENT | {"type": 1})),
        ("celeryev.5f", control(EVENT | {"hostname": None})),
        ("celeryev.5f", control(EVENT | {"clock": "x"})),
        ("celeryev.5f", control(EVENT | {"timestamp": []})),
        # Most of these ended a worker that hears of others; some it would keep.
        ("celeryev.5f", control(EVENT | {"timestamp": float("inf")})),
        ("celeryev.5f", control(EVENT | {"timestamp": float("nan")})),
        ("celeryev.5f", control(EVENT | {"utcoffset": 1e308})),
        ("celeryev.5f", control(EVENT | {"timestamp": 10**400})),
        ("celeryev.5f", control(EVENT | {"clock": float("inf")})),
        ("celeryev.5f", control(EVENT | {"freq": "often"})),
        ("celeryev.5f", control(EVENT | {"alive": True})),
        ("celeryev.5f", control(EVENT | {"event": "x"})),
        ("celeryev.5f", control(EVENT | {"heartbeats": 1})),
        ("celeryev.5f", control([EVENT, EVENT])),
        ("celeryev.5f", control({"type": "task-x", "hostname": "h", "uuid": "x"})),
        ("celeryev.5f", control(EVENT | {"type": "task-x", "uuid": [1]})),
    ],
)
def test_celerys_own_events_are_checked_against_their_shape(
    queue: str, data: bytes
) -> None:
    assert judged(data, queue)


@pytest.mark.parametrize(
    "kept", [b"x", b"7", b"[]", b"[{}, 1, 2]", b'[{"headers": {}}, "", "q"]']
)
def test_what_kombu_can_not_put_back_is_reported(kept: bytes) -> None:
    with pytest.raises(Malformed):
        check_kept(kept)
    check_kept(json.dumps([theirs(), "", QUEUE]).encode())
