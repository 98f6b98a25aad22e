"""What web pages show: texts from outside as they can be seen, the admin's too."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from engine.visible import visible


class VisiblePages:
    """Middleware: escapes and what turns text around are shown as text in every page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Stand around a view."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        response = self._get_response(request)
        if isinstance(response, HttpResponse) and response.get(
            "Content-Type", ""
        ).startswith("text/html"):
            text = response.content.decode(response.charset)
            response.content = visible(text).encode(response.charset)
        return response
