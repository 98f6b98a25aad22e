"""Messages that no worker may see: each is a valid one with something wrong about it."""

import base64
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from swarm_project.celery import app
from workers.broker.messages import message_template

QUEUE = "swarm.python_fn"
FILL = {"R": "R-1", "N": "2", "A": "0.k3.7", "T": "99", "Q": QUEUE, "L": "60"}
FILL |= {"K": "swarm.run_step"}


def filled_template(**slots: str) -> tuple[str, dict[str, Any]]:
    """Return the list prefix and the message of the template, filled like by a script."""
    prefix, text = message_template(app).decode().split("\n", 1)
    for letter, value in (FILL | slots).items():
        text = text.replace("\0" + letter, value)
    return prefix, json.loads(text)


def filled(**slots: str) -> dict[str, Any]:
    """Return the message of the filled template."""
    return filled_template(**slots)[1]


def theirs(**headers: Any) -> dict[str, Any]:
    """Return a valid message of a Celery task that is not ours but known here."""
    body = base64.b64encode(b"[[], {}, {}]").decode()
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": "others.ping", "id": "x"} | headers,
        "properties": {
            "correlation_id": "x", "reply_to": "y", "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "body_encoding": "base64", "delivery_tag": "0b1c",
        },
    }  # fmt: skip


Change = Callable[[dict[str, Any]], None]

ODD: dict[str, Any] = {
    "null": None, "number": 7, "float": 1.5, "true": True, "list": [1],
    "object": {"a": 1}, "deep": [[[[{"a": [1]}]]]], "half": "\ud800",
}  # fmt: skip
WRONG = {
    "headers/id": ("null", "number", "list", "object", "true", "half"),
    "headers/task": ("null", "number", "list", "object", "half"),
    "headers/lang": ("number", "list", "object"),
    "headers/argsrepr": ("number", "list", "object", "half"),
    "headers/kwargsrepr": ("number", "list", "object"),
    "headers/root_id": ("number", "list"),
    "headers/parent_id": ("object",),
    "headers/group": ("list",),
    "headers/shadow": ("list", "number"),
    "headers/origin": ("object",),
    "headers/timelimit": ("number", "object", "list", "true", "deep"),
    "headers/eta": ("number", "list", "object", "true"),
    "headers/expires": ("number", "list", "object", "true"),
    "headers/retries": ("float", "list", "object", "true"),
    "headers/ignore_result": ("list", "number"),
    "headers/stamps": ("list", "number"),
    "headers/stamped_headers": ("list", "number", "object"),
    "headers/compression": ("number", "list", "object"),
    "headers/anything": ("list", "object", "deep"),
    "headers": ("null", "number", "list"),
    "properties": ("null", "number", "list"),
    "properties/delivery_tag": ("null", "number", "list", "object"),
    "properties/delivery_info": ("null", "number", "list"),
    "properties/delivery_info/exchange": ("null", "number", "list"),
    "properties/delivery_info/routing_key": ("null", "number", "list", "object"),
    "properties/body_encoding": ("number", "list", "true"),
    "properties/priority": ("list", "object", "float"),
    "properties/correlation_id": ("number", "list"),
    "properties/anything": ("deep",),
    "body": ("null", "number", "list", "object", "half"),
    "content-type": ("null", "number", "list"),
    "content-encoding": ("null", "number", "list"),
}
TEXTS: dict[str, tuple[Any, ...]] = {
    "headers/task": ("", "nobody.knows", "workers.tasks.run_step",
                     "celery.chord_unlock"),
    "headers/id": ("",),
    "headers/timelimit": ([1], [1, 2, 3], ["a", None], [-1, None], [0, None],
                          [float("nan"), None], [float("inf"), None], [[1], None],
                          None, [None, None], [29.9, None], [60, 0.01]),
    "headers/eta": ("", "tomorrow", "9999-99-99", "2030-01-01T00:00:00"),
    "headers/expires": ("", "tomorrow", "2030-01-01T00:00:00+00:00"),
    "headers/retries": (-1, "one", 10**30),
    "headers/compression": ("application/x-gzip", "nothing-known"),
    "properties/delivery_tag": ("", "swarm-ticket:", "swarm-ticket:1/60/R-2/2/0.k3.7",
                                "swarm-ticket:1/60/R-1/2/0", "swarm-ticket:x/y/z"),
    "properties/delivery_info/routing_key": ("", "swarm.lua"),
    "properties/body_encoding": ("base64", "rot13", "zlib"),
    "content-type": ("", "application/x-python-serialize", "text/plain", "yaml"),
    "content-encoding": ("", "nothing-known", "binary", "utf-16"),
}  # fmt: skip
BODIES: dict[str, str] = {
    name: text if isinstance(text, str) else json.dumps(text)
    for name, text in {
        "empty": "", "no JSON": "[[", "a text": '"x"', "an object": {}, "args alone": [[]],
        "four parts": [[], {}, {}, {}], "args an object": [{}, {}, {}],
        "kwargs a list": [["R-1", 2, "0.k3.7"], [], {}],
        "embed a list": [["R-1", 2, "0.k3.7"], {}, []],
        "no args": [[], {}, {}], "two args": [["R-1", 2], {}, {}],
        "four args": [["R-1", 2, "0.k3.7", 1], {}, {}],
        "kwargs": [["R-1", 2, "0.k3.7"], {"run": "R-1"}, {}],
        "callbacks": [["R-1", 2, "0.k3.7"], {}, {"callbacks": [1]}],
        "run a number": [[1, 2, "0.k3.7"], {}, {}],
        "run a list": [[["R-1"], 2, "0.k3.7"], {}, {}],
        "run a path": [["../R-1", 2, "0.k3.7"], {}, {}],
        "run a key": [["R-1:b", 2, "0.k3.7"], {}, {}],
        "run long": [["R" * 65, 2, "0.k3.7"], {}, {}],
        "gen a text": [["R-1", "2", "0.k3.7"], {}, {}],
        "gen true": [["R-1", True, "0.k3.7"], {}, {}],
        "gen negative": [["R-1", -2, "0.k3.7"], {}, {}],
        "gen huge": [["R-1", 10**40, "0.k3.7"], {}, {}],
        "gen a fraction": [["R-1", 2.5, "0.k3.7"], {}, {}],
        "addr a number": [["R-1", 2, 0], {}, {}],
        "addr a list": [["R-1", 2, ["0"]], {}, {}],
        "addr empty": [["R-1", 2, ""], {}, {}],
        "addr of nothing": [["R-1", 2, "1.k3.7"], {}, {}],
        "addr with a newline": [["R-1", 2, "0\n"], {}, {}],
        "addr half a batch": [["R-1", 2, "0.k3:7"], {}, {}],
        "addr a batch of words": [["R-1", 2, "0.k3:a-b"], {}, {}],
        "addr a batch backwards": [["R-1", 2, "0.k3:9-2"], {}, {}],
        "addr a huge batch": [["R-1", 2, "0.k3:0-99999999999"], {}, {}],
    }.items()
}  # fmt: skip
RAW: dict[str, bytes] = {
    "nothing": b"", "a NUL": b"\0", "a word": b"hello", "half JSON": b'{"body": ',
    "no UTF-8": b'{"body": "\xff\xfe"}', "a number": b"7", "a huge number": b"9" * 5000,
    "null": b"null", "a list": b"[]", "an object": b"{}", "a text": b'"x"',
    "NaN": b"NaN", "very deep": b"[" * 100_000, "deep and whole": b"[" * 5000 + b"]" * 5000,
    "pickled": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "too large": json.dumps(filled() | {"pad": "x" * (1 << 20)}).encode(),
    "protocol 1": json.dumps({
        "body": base64.b64encode(b'{"task": "swarm.run_step", "id": "x"}').decode(),
        "content-type": "application/json", "content-encoding": "utf-8", "headers": {},
        "properties": theirs()["properties"]}).encode(),
}  # fmt: skip
MISSING = (
    "headers", "properties", "body", "content-type", "content-encoding", "headers/id",
    "headers/task", "properties/delivery_tag", "properties/delivery_info",
    "properties/delivery_info/exchange", "properties/delivery_info/routing_key",
)  # fmt: skip


def changed(message: dict[str, Any], path: str, value: Any = ..., **_: Any) -> bytes:
    """Return a message with another value at a path, or without one."""
    made = copy.deepcopy(message)
    *above, last = path.split("/")
    at = made
    for name in above:
        at = at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(made).encode()


def bad_messages() -> Iterator[tuple[str, bytes]]:
    """Give every bad message with what is wrong with it."""
    ours = filled()
    yield from RAW.items()
    for path in MISSING:
        yield f"{path} missing", changed(ours, path)
    for path, kinds in WRONG.items():
        for kind in kinds:
            if not (kind == "null" and path == "headers/task"):
                yield f"{path} {kind}", changed(ours, path, ODD[kind])
    for path, values in TEXTS.items():
        for value in values:
            yield f"{path} {str(value)[:30]!r}", changed(ours, path, value)
    for name, body in BODIES.items():
        yield f"body {name}", changed(ours, "body", body)
    deep = copy.deepcopy(theirs())
    deep["body"] = base64.b64encode(b"[" * 100_000).decode()
    yield "their body deep", json.dumps(deep).encode()
    for name in ("args alone", "an object", "kwargs a list", "no JSON"):
        text = base64.b64encode(BODIES[name].encode()).decode()
        yield f"their body {name}", changed(theirs(), "body", text)
    for name, value in (("id", [1]), ("task", "app.theirs"), ("eta", 5), ("stamps", 1)):
        yield f"their {name}", json.dumps(theirs(**{name: value})).encode()


BAD = dict(bad_messages())
