"""The shape that a queue message must have before Celery takes it.

Celery and kombu trust their messages: a header of another type ends a worker's main
process, or the message returns to its queue for ever. So the transport checks every
message first. A message without the shape raises Malformed with the reason.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from datetime import UTC
from functools import cache
from typing import Annotated, Any, Final, Literal

from celery.events.state import Worker
from celery.utils.time import maybe_iso8601
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
)

from workers.broker.messages import OURS, is_own

MOST_BYTES: Final = 1 << 20
"""Bytes of a message. Ours have less than 2 KiB; a larger one is not ours."""
LARGEST: Final = 10**15
LONGEST_S: Final = 10**9
SHOWN: Final = 60
CELERYS: Final = "celery."
"""The prefix of the names of Celery's own tasks.

`chord_unlock` retries without end where there is no result backend; `map` and its like
call other tasks with arguments that nobody has checked.
"""
SHORTEST_S: Final = 1
"""Seconds of a time limit. With a shorter one Celery kills the pool's next task, too."""


class Malformed(ValueError):
    """A message that Celery must not see; the text is the reason."""


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise ValueError("Input should be no container")
    return value


def _moment(text: str) -> str:
    try:
        maybe_iso8601(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("Input should be a time in ISO 8601") from None
    return text


Plain = Annotated[Any, AfterValidator(_plain)]
Name = Annotated[str, Field(min_length=1)]
Moment = Annotated[Name, AfterValidator(_moment)]
Count = Annotated[int, Field(ge=0, lt=LARGEST)]
Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
Limit = Annotated[float, Field(ge=SHORTEST_S, lt=LONGEST_S)]
# JSON has lists alone: a strict tuple would refuse them.
Limits = Annotated[tuple[Limit | None, Limit | None], Strict(False)]
Body = Annotated[tuple[list[Any], dict[str, Any], dict[str, Any]], Strict(False)]
"""The args, kwargs and embedded callbacks of a task."""


class Shape(BaseModel):
    """The fields that Celery or kombu reads; there may be others."""

    model_config = ConfigDict(
        strict=True,
        extra="allow",
        allow_inf_nan=False,
        # With a limit pydantic also refuses half of a surrogate pair.
        str_max_length=MOST_BYTES,
    )


class PlainShape(Shape):
    """A shape whose other fields are no containers: Celery uses them as keys."""

    __pydantic_extra__: dict[str, Plain]


class Destination(PlainShape):
    """Where a message, or the reply to it, goes."""

    exchange: str
    routing_key: str


class Properties(PlainShape):
    """The properties of any message."""

    delivery_tag: Name
    delivery_info: Destination
    body_encoding: Literal["base64", "utf-8"] | None = None
    priority: Count | None = None
    correlation_id: str | None = None
    reply_to: str | None = None


class Headers(Shape):
    """The headers of any message."""

    clock: Count | None = None
    compression: None = None


class TaskHeaders(PlainShape):
    """The headers of a Celery task."""

    id: Name
    task: Name
    lang: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    shadow: str | None = None
    origin: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    meth: str | None = None
    retries: Count | None = None
    group_index: Count | None = None
    replaced_task_nesting: Count | None = None
    eta: Moment | None = None
    expires: Moment | None = None
    ignore_result: bool | None = None
    redelivered: bool | None = None
    timelimit: Limits | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, str | list[str]] | None = None


class Message(Shape):
    """The envelope of any message."""

    headers: Headers
    properties: Properties
    body: str
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8", "UTF-8"] = Field(alias="content-encoding")


class Command(Shape):
    """The body of a control command, such as `inspect` sends."""

    method: str
    arguments: dict[str, Any] | None = None
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    destination: list[Any] | None = None
    reply_to: Destination | None = None


class Event(Shape):
    """An event of another worker: what Celery calculates with is a finite number."""

    type: str
    hostname: str
    clock: Count = 0
    timestamp: Number = 0
    local_received: Number = 0
    utcoffset: Number = 0
    pid: Number = 0
    freq: Number = 0


class TaskEvent(Event):
    """An event of a Celery task."""

    uuid: str
    timestamp: Number


def shown(value: Any) -> str:
    """Return a value as a reason shows it: short, in plain characters."""
    text = ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def read(data: bytes | str) -> Any:
    """Return the value of a JSON text of bounded size, or raise Malformed."""
    if len(data) > MOST_BYTES:
        raise Malformed(f"larger than {MOST_BYTES} bytes")
    try:
        return json.loads(data)
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {shown(str(error))}") from None


def check(message: Any, queue: str, tasks: Collection[str]) -> None:
    """Raise Malformed unless Celery can take a message of this queue.

    `tasks` are the names of the tasks that this process knows.
    """
    try:
        envelope = _fitted(Message, "message", message)
        body = _body(envelope)
        if queue.startswith("celeryev"):
            _check_events(body, envelope.properties.delivery_info.routing_key)
        elif not queue.endswith(".pidbox"):
            _check_task(message, body, queue, tasks)
        elif ".reply." in queue or queue.startswith("reply."):
            _fitted(dict, "reply", body)
        else:
            _fitted(Command, "command", body)
    except RecursionError:
        raise Malformed("nested too deeply") from None


def check_kept(kept: bytes) -> None:
    """Raise Malformed unless kombu can restore an unacknowledged message from this."""
    parts = Annotated[tuple[Message, str, str], Strict(False)]
    message, _, _ = _fitted(parts, "unacknowledged", read(kept))
    _body(message)


_adapter: Any = cache(TypeAdapter)


def _fitted(shape: Any, subject: str, value: Any) -> Any:
    """Return a value in its shape, or raise Malformed for the first field without it."""
    try:
        return _adapter(shape).validate_python(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
    place = shown(".".join(map(str, (subject, *fault["loc"]))))
    rule = fault["msg"].removeprefix("Value error, ")
    found = "" if fault["type"] == "missing" else f", not {shown(fault['input'])}"
    raise Malformed(f"{place}: {rule}{found}")


def _body(message: Message) -> Any:
    """Return the value of a message's body, which is JSON."""
    try:
        if message.properties.body_encoding == "base64":
            return read(base64.b64decode(message.body))
        return read(message.body)
    except Malformed as error:
        raise Malformed(f"the body is {error}") from None
    except ValueError:
        raise Malformed("the body is not base64") from None


def _check_task(
    message: dict[str, Any], body: Any, queue: str, tasks: Collection[str]
) -> None:
    name = _fitted(TaskHeaders, "headers", message["headers"]).task
    if name not in tasks:
        raise Malformed(f"this worker knows no task {shown(name)}")
    if name.startswith(CELERYS):
        raise Malformed(f"task {shown(name)} is Celery's own, and no step")
    _fitted(Body, "body", body)
    if name not in OURS or is_own(_as_sent(message), queue, tasks):
        return
    to = message["properties"]["delivery_info"]["routing_key"]
    if to != queue:
        raise Malformed(f"the message belongs to queue {shown(to)}")
    raise Malformed(f"no script of the store writes such a message of task {name}")


def _as_sent(message: dict[str, Any]) -> bytes:
    """Return the bytes of a message without the marks of kombu, which has restored it."""
    headers, properties = dict(message["headers"]), dict(message["properties"])
    properties["delivery_info"] = dict(properties["delivery_info"])
    for marked in (headers, properties["delivery_info"]):
        marked.pop("redelivered", None)
    return json.dumps(message | {"headers": headers, "properties": properties}).encode()


def _check_events(body: Any, key: str) -> None:
    """Check an event of another worker, or a list of events of tasks."""
    if isinstance(body, list) and not key.startswith("task."):
        raise Malformed("only events of tasks come as a list")
    for event in body if isinstance(body, list) else [body]:
        kind = _fitted(Event, "event", event).type
        if kind.startswith("task-"):
            _fitted(TaskEvent, "event", event)
        for name in event:
            # Celery sets every field as an attribute of its record of the worker.
            if name == "heartbeats" or (
                name not in Worker._fields and hasattr(Worker, name)
            ):
                raise Malformed(f"an event sets {shown(name)}, which Celery computes")
