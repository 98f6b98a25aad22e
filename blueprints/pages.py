"""Make control characters visible in all web pages, the admin included."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from engine.visible import visible

Handler = Callable[[HttpRequest], HttpResponseBase]


def visible_pages(get_response: Handler) -> Handler:
    """Return the middleware that shows escape sequences and direction marks as text."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        html = response.get("Content-Type", "").startswith("text/html")
        if html and isinstance(response, HttpResponse):
            text = response.content.decode(response.charset)
            response.content = visible(text).encode(response.charset)
        return response

    return respond
