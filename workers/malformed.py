"""What a message must be before Celery sees it.

Celery and kombu take much for granted: a header of another type ends a worker's main
process, or comes back for ever. Whatever lies in a queue is held here against the shape
that they rely on; what is not so raises Malformed with the reason.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection
from datetime import UTC
from typing import Any, Final

from celery.events.state import Worker
from celery.utils.time import maybe_iso8601

from engine.run.turn import TIME_LIMIT_NET_S
from workers.queue import TICKET_MARK

MOST_BYTES: Final = 1 << 20
"""Of a message. Ours are less than 2 KiB; what is larger belongs to somebody else."""
LARGEST: Final = 10**15
LONGEST_S: Final = 10**9
SHOWN: Final = 60
OURS: Final = frozenset({"swarm.run_step", "swarm.advance_run"})
CELERYS: Final = "celery."
"""How the names of the tasks begin that Celery brings along.

`chord_unlock` asks again without end where there is no result backend, and `map` and its
like call others with arguments that nobody has judged.
"""
SHORTEST_S: Final = 1
"""Of a time limit: at a shorter one Celery kills what its process works on by then."""
RUN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
ADDRESS: Final = re.compile(
    r"0(\.k\d{1,9}\.\d{1,9})*(\.k\d{1,9}:(?P<lo>\d{1,9})-(?P<hi>\d{1,9}))?", re.ASCII
)
TICKET: Final = re.compile(
    TICKET_MARK + r"\d{1,20}/\d{1,9}/(?P<run>[^/]+)/(?P<gen>\d{1,9})/(?P<addr>[^/]+)",
    re.ASCII,
)


class Malformed(ValueError):
    """A message that Celery must not see; the text says what is wrong with it."""


def shown(value: Any) -> str:
    """Return a value as a reason may show it: short, in plain characters."""
    text = ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def read(data: bytes | str) -> Any:
    """Return what a message says, or raise Malformed if it is no JSON of bounded size."""
    if len(data) > MOST_BYTES:
        raise Malformed(f"larger than {MOST_BYTES} bytes")
    try:
        return json.loads(data)
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {shown(str(error))}") from None


def is_control(queue: str) -> bool:
    """Tell whether a queue carries Celery's own talk: `inspect`, its replies, events."""
    return queue.endswith(".pidbox") or queue.startswith("celeryev")


def check(message: Any, queue: str, tasks: Collection[str]) -> None:
    """Raise Malformed unless Celery can take a message of this queue.

    `tasks` are the names of those that this process knows.
    """
    try:
        _check(message, queue, tasks)
    except RecursionError:
        raise Malformed("nested too deeply") from None


def _check(message: Any, queue: str, tasks: Collection[str]) -> None:
    body = envelope(message)
    if not is_control(queue):
        _task(message["headers"], message["properties"], body, queue, tasks)
    elif queue.startswith("celeryev"):
        _events(body, message["properties"]["delivery_info"]["routing_key"])
    elif ".reply." in queue or queue.startswith("reply."):
        _want("the body of a reply", body, dict)
    else:
        _command(message["headers"], body)


def envelope(message: Any) -> Any:
    """Hold a message against what kombu needs of all; returns what its body says."""
    _want("the message", message, dict)
    headers = _want("headers", message.get("headers"), dict)
    properties = _want("properties", message.get("properties"), dict)
    tag = _want("property 'delivery_tag'", properties.get("delivery_tag"), str)
    if not tag:
        raise Malformed("property 'delivery_tag' is empty")
    to = _want("property 'delivery_info'", properties.get("delivery_info"), dict)
    for name in ("exchange", "routing_key"):
        _want(f"delivery_info {name!r}", to.get(name), str)
    for where, fields in (("property", properties), ("delivery_info", to)):
        for name, value in fields.items():
            if name != "delivery_info" and isinstance(value, dict | list):
                raise Malformed(f"{where} {shown(name)} holds {shown(value)}")
    if not _count(properties.get("priority") or 0):
        raise Malformed(f"property 'priority' is {shown(properties['priority'])}")
    for name in ("correlation_id", "reply_to"):
        _text(f"property {name!r}", properties.get(name) or "")
    if headers.get("compression") is not None:
        raise Malformed("it is compressed; only what is not is taken")
    return _body(message, properties.get("body_encoding"))


def _body(message: dict[str, Any], encoding: Any) -> Any:
    """Return what a body says that says so in JSON."""
    kind = message.get("content-type")
    if kind != "application/json":
        raise Malformed(f"content-type is {shown(kind)}; application/json is taken")
    if str(message.get("content-encoding")).lower() != "utf-8":
        charset = shown(message.get("content-encoding"))
        raise Malformed(f"content-encoding is {charset}; utf-8 is taken")
    body = _want("the body", message.get("body"), str)
    if encoding == "base64":
        try:
            return read(base64.b64decode(body))
        except (binascii.Error, ValueError) as error:
            if isinstance(error, Malformed):
                raise Malformed(f"the body is {error}") from None
            raise Malformed("the body is not base64") from None
    if encoding is not None and encoding != "utf-8":
        raise Malformed(f"property 'body_encoding' is {shown(encoding)}")
    try:
        return read(_text("the body", body))
    except Malformed as error:
        raise Malformed(f"the body is {error}") from None


def _task(
    headers: dict[str, Any],
    properties: dict[str, Any],
    body: Any,
    queue: str,
    tasks: Collection[str],
) -> None:
    for name in ("id", "task"):
        if not headers.get(name):
            raise Malformed(f"header {name!r} is missing")
    for name, value in headers.items():
        if isinstance(value, dict | list) and name not in CONTAINERS:
            raise Malformed(f"header {shown(name)} holds {shown(value)}")
        if value is not None and name in HEADERS and not HEADERS[name](value):
            raise Malformed(f"header {name!r} is {shown(value)}")
    if headers["task"] not in tasks:
        raise Malformed(f"no task {shown(headers['task'])} is known to this worker")
    if headers["task"].startswith(CELERYS):
        raise Malformed(
            f"task {shown(headers['task'])} is Celery's own: no step is one"
        )
    if not (
        isinstance(body, list) and [type(part) for part in body] == [list, dict, dict]
    ):
        raise Malformed(f"the body is no [args, kwargs, embed] but {shown(body)}")
    if headers["task"] in OURS:
        _ours(headers, properties, body, queue)


def _ours(
    headers: dict[str, Any], properties: dict[str, Any], body: list[Any], queue: str
) -> None:
    """Hold a message of one of our two tasks against what the store's scripts write."""
    args, kwargs, embed = body
    _times(headers)
    if kwargs or any(embed.values()):
        raise Malformed("it has keyword arguments or callbacks, which a step never has")
    if len(args) != 3:
        raise Malformed(f"a step has 3 arguments, not {len(args)}")
    run, gen, addr = args
    if not isinstance(run, str) or not RUN.fullmatch(run):
        raise Malformed(f"{shown(run)} is no id of a run")
    if not _count(gen):
        raise Malformed(f"{shown(gen)} is no generation")
    place = ADDRESS.fullmatch(addr) if isinstance(addr, str) else None
    if place is None or (place["hi"] and int(place["lo"]) >= int(place["hi"])):
        raise Malformed(f"{shown(addr)} is no address of a chain or batch")
    to = properties["delivery_info"]["routing_key"]
    if to != queue:
        raise Malformed(f"it is meant for queue {shown(to)}")
    tag = properties["delivery_tag"]
    ticket = TICKET.fullmatch(tag)
    if tag.startswith(TICKET_MARK) and (
        ticket is None
        or (ticket["run"], int(ticket["gen"]), ticket["addr"]) != (run, gen, addr)
    ):
        raise Malformed(f"its ticket {shown(tag)} is not that of its arguments")


def _times(headers: dict[str, Any]) -> None:
    """Hold what a message of ours says of time against what the scripts write."""
    for name in ("eta", "expires"):
        if headers.get(name) is not None:
            raise Malformed(f"header {name!r} is set, which a step never has")
    hard, _ = headers.get("timelimit") or (None, None)
    if hard is None or hard < TIME_LIMIT_NET_S:
        raise Malformed(f"its time limit is {shown(hard)}; a step's is never so short")


def _command(headers: dict[str, Any], body: Any) -> None:
    """Hold a control command, such as `inspect` sends, against what a worker reads."""
    _want("the body of a command", body, dict)
    _text("its 'method'", body.get("method"))
    if not _count(headers.get("clock") or 0):
        raise Malformed(f"header 'clock' is {shown(headers['clock'])}")
    if body.get("arguments") is not None:
        _want("its 'arguments'", body["arguments"], dict)
    for name in ("pattern", "matcher", "ticket"):
        if body.get(name) is not None:
            _text(f"its {name!r}", body[name])
    if body.get("destination") is not None:
        _want("its 'destination'", body["destination"], list)
    if body.get("reply_to") is not None:
        to = _want("its 'reply_to'", body["reply_to"], dict)
        for name in ("exchange", "routing_key"):
            _text(f"the {name!r} of its 'reply_to'", to.get(name))


def _events(body: Any, key: str) -> None:
    """Hold an event of another worker, or a list of them, against what is read of it."""
    if isinstance(body, list) and not key.startswith("task."):
        raise Malformed("several events in one, which only those of tasks are")
    for event in body if isinstance(body, list) else [body]:
        _want("an event", event, dict)
        for name in ("type", "hostname"):
            _text(f"the {name!r} of an event", event.get(name))
        if event["type"].startswith("task-"):
            _text("the 'uuid' of an event", event.get("uuid"))
            if "timestamp" not in event:
                raise Malformed("the 'timestamp' of an event is missing")
        for name, value in event.items():
            fits = EVENT_FIELDS.get(name)
            if fits is not None and not fits(value):
                raise Malformed(f"the {name!r} of an event is {shown(value)}")
            # Celery sets what it is told on the object that it keeps of a worker.
            if name == "heartbeats" or (
                name not in Worker._fields and hasattr(Worker, name)
            ):
                raise Malformed(
                    f"an event has {shown(name)}, which Celery keeps itself"
                )


def _want(what: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        names = {dict: "an object", list: "a list", str: "a text"}
        if value is None:
            raise Malformed(f"{what} is missing")
        raise Malformed(f"{what} is {shown(value)}, not {names[kind]}")
    return value


def _text(what: str, value: Any) -> Any:
    if not _is_text(_want(what, value, str)):
        raise Malformed(f"{what} holds half of a character")
    return value


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _number(value: Any) -> bool:
    """Tell whether Celery can calculate with a value: NaN and Infinity are no numbers."""
    return type(value) in (int, float) and -LARGEST < value < LARGEST


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _moment(value: Any) -> bool:
    try:
        found = maybe_iso8601(value) if isinstance(value, str) else None
        return found is not None and bool(found.astimezone(UTC))
    except (TypeError, ValueError, OverflowError):
        return False


def _limits(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(
            limit is None
            or (type(limit) in (int, float) and SHORTEST_S <= limit < LONGEST_S)
            for limit in value
        )
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _stamps(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(stamp) or _texts(stamp) for stamp in value.values()
    )


HEADERS: Final[dict[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("id", "task", "lang", "root_id", "parent_id", "group", "shadow", "origin",
         "argsrepr", "kwargsrepr", "meth"),
        _is_text,
    ),
    **dict.fromkeys(("retries", "group_index", "replaced_task_nesting"), _count),
    **dict.fromkeys(("eta", "expires"), _moment),
    **dict.fromkeys(("ignore_result", "redelivered"), _flag),
    "timelimit": _limits,
    "stamped_headers": _texts,
    "stamps": _stamps,
}  # fmt: skip
"""What Celery reads of a task's headers, and what each must be where it is set."""
EVENT_FIELDS: Final[dict[str, Callable[[Any], bool]]] = {
    "clock": _count,
    **dict.fromkeys(
        ("timestamp", "local_received", "utcoffset", "pid", "freq"), _number
    ),
}
"""What Celery calculates with of an event."""
CONTAINERS: Final = frozenset({"timelimit", "stamped_headers", "stamps"})


def restorable(kept: bytes) -> None:
    """Raise Malformed unless kombu can put back what it kept of an unacknowledged one."""
    held = _want("what is kept", read(kept), list)
    if len(held) != 3:
        raise Malformed(f"what is kept has {len(held)} parts, not 3")
    message, exchange, key = held
    envelope(message)
    _text("its exchange", exchange)
    _text("its routing key", key)
