"""The bound of all bodies, before Django writes them to the disk to read them.

ASGI hands a body to Django piece by piece, and Django keeps all of it. Routes that take
less than a bundle has check it themselves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import IO, Any

from django.core.handlers.asgi import ASGIHandler

from blueprints.api.bodies import too_large
from blueprints.api.problems import MEDIA_TYPE
from blueprints.loaders.bundle import LARGEST

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


class CountingHandler(ASGIHandler):
    """Django's handler, for which a body is as long as what arrived.

    A body that comes in chunks has no Content-Length, and is read as empty without.
    """

    def create_request(self, scope: Any, body_file: IO[bytes]) -> Any:
        """Return the request, or None and what answers a malformed one."""
        request, refused = super().create_request(scope, body_file)
        if request is not None:
            request.META["CONTENT_LENGTH"] = str(body_file.seek(0, os.SEEK_END))
            body_file.seek(0)
        return request, refused


def bounded(application: Application, most: int = LARGEST) -> Application:
    """Return the application, with 413 for requests whose body is larger than `most`."""

    async def serve(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await application(scope, receive, send)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            return await refuse(send, most)
        read, over, begun = 0, False, False

        async def receive_some() -> Message:
            nonlocal read, over
            message = await receive()
            read += len(message.get("body", b""))
            if read > most and not begun:
                over = True
                # Django gives the request up, and its answer is never sent.
                return {"type": "http.disconnect"}
            return message

        async def send_unless_over(message: Message) -> None:
            nonlocal begun
            if not over:
                begun = True
                await send(message)

        await application(scope, receive_some, send_unless_over)
        if over:
            await refuse(send, most)

    return serve


async def refuse(send: Send, most: int) -> None:
    """Send the problem of a body that is too large, and end the connection."""
    problem = too_large(most)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
    start = {"type": "http.response.start", "status": problem.status_code}
    await send({**start, "headers": headers})
    body = json.dumps(problem.body).encode()
    await send({"type": "http.response.body", "body": body})
