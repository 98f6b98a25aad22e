"""Cuts passwords and keys out of what is told: logs, tracebacks, error reports.

Our own texts name none. This is for the texts of others, which repeat what they were
given, in whatever spelling.
"""

import html
import json
import logging
import os
import re
import traceback
from collections.abc import Iterator
from functools import cache
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

from django.conf import settings
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from engine.store.address import Address
from engine.visible import VisibleFormatter, visible

MASK = "********"
# A shorter one would be cut out of the middle of words.
SHORTEST = 5
URLS = ("SWARM_REDIS_URL", "DATABASE_URL")
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]*@")
_RAW = re.compile(r"://[^:/?#]*:(.+)@", re.DOTALL)
_SECRET_NAME = re.compile("API_?KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Returns a text with every secret of this process masked, and every URL's login."""
    text = _LOGIN.sub(f"{MASK}@", text)
    for form in _forms(_held()):
        text = text.replace(form, MASK)
    return text


def _held() -> tuple[str, ...]:
    """Returns the secrets as they are used; none where settings can't be read."""
    if not settings.configured:
        return ()
    held = [settings.SECRET_KEY, *Address.of(settings.SWARM_STATE_URL).secrets]
    held += [str(d.get("PASSWORD") or "") for d in settings.DATABASES.values()]
    return tuple(held)


@cache
def _forms(held: tuple[str, ...]) -> tuple[str, ...]:
    """Returns every spelling of secrets and of those in the environment, longest first."""
    found = {
        form for secret in {*held, *_of_environment()} for form in _spelled(secret)
    }
    return tuple(
        sorted((f for f in found if len(f) >= SHORTEST), key=len, reverse=True)
    )


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name in URLS:
            # As it stands there: percent-encoded in its own way, or not enough.
            yield from _RAW.findall(value)
        elif _SECRET_NAME.search(name):
            yield value


def _spelled(secret: str) -> Iterator[str]:
    yield secret
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (html.escape(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    yield html.escape(repr(secret)[1:-1])


class Formatter(VisibleFormatter):
    """Formats a log record without secrets, its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, or the lines of a traceback."""
        return without_secrets(super().format(record))


class ReportFilter(SafeExceptionReporterFilter):
    """Hides settings and variables that hold a URL, besides those Django hides."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|DATABASE",
        re.IGNORECASE,
    )


class Report(ExceptionReporter):
    """Django's error page, or its text, without secrets."""

    def get_traceback_html(self) -> str:
        """Returns the page."""
        return without_secrets(super().get_traceback_html())

    def get_traceback_text(self) -> str:
        """Returns the text."""
        return without_secrets(super().get_traceback_text())


def traceback_text(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> str:
    """Returns what Python would print of an error, without secrets."""
    lines: list[Any] = traceback.format_exception(kind, error, trace)
    return without_secrets(visible("".join(lines)))
