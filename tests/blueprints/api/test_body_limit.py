"""Bodies: none is read that is larger than a route takes."""

import asyncio
import io
import json
from typing import Any

import pytest

from blueprints.api.body_limit import CountingHandler, bounded

MOST = 100


def served(headers: dict[str, str], *parts: bytes) -> tuple[int, bytes, int]:
    """Return status and body of the answer, and how many bytes reached the application."""
    read = 0
    left = list(parts)
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal read
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            read += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def receive() -> Any:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": lines}
    asyncio.run(bounded(application, MOST)(scope, receive, send))
    assert [one["type"] for one in sent] == [
        "http.response.start",
        "http.response.body",
    ]
    return sent[0]["status"], sent[1]["body"], read


def test_a_body_that_fits_is_read():
    assert served({"content-length": "100"}, b"a" * 100) == (200, b"fine", 100)
    assert served({}, b"a" * 60, b"a" * 40) == (200, b"fine", 100)


def test_a_body_that_says_to_be_larger_is_not_read():
    status, body, read = served({"content-length": "101"}, b"a" * 101)
    assert (status, json.loads(body)["code"], read) == (413, "body-too-large", 0)


def test_a_body_that_turns_out_to_be_larger_is_read_no_further():
    status, body, read = served({}, b"a" * 60, b"a" * 41, b"a" * 60)
    assert (status, json.loads(body)["code"], read) == (413, "body-too-large", 60)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
def test_a_body_is_as_long_as_what_arrived(headers: list[tuple[bytes, bytes]]):
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/lint",
        "headers": [(b"transfer-encoding", b"chunked"), *headers],
    }
    request, refused = CountingHandler().create_request(scope, io.BytesIO(b"12345"))
    assert refused is None
    assert request.META["CONTENT_LENGTH"] == "5"
    assert request.read() == b"12345"
