"""Mask passwords and keys in logs, tracebacks and error reports.

Swarm's own texts contain none; texts of libraries may repeat them, in any encoding.
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

from engine.store.server_url import ServerUrl
from engine.visible import VisibleFormatter, visible

MASK = "********"
# A shorter secret would also be masked inside of words.
SHORTEST = 5
URLS = ("SWARM_REDIS_URL", "DATABASE_URL")
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]*@")
_RAW = re.compile(r"://[^:/?#]*:(.+)@", re.DOTALL)
_SECRET_NAME = re.compile("API_?KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a text with all secrets of this process and all logins of URLs masked."""
    text = _LOGIN.sub(f"{MASK}@", text)
    for form in _forms(_secrets()):
        text = text.replace(form, MASK)
    return text


def _secrets() -> tuple[str, ...]:
    """Return the secrets in the settings; none if the settings are not configured."""
    if not settings.configured:
        return ()
    secrets = [settings.SECRET_KEY, *ServerUrl.of(settings.SWARM_STATE_URL).secrets]
    secrets += [str(d.get("PASSWORD") or "") for d in settings.DATABASES.values()]
    return tuple(secrets)


@cache
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Return all encodings of secrets and of those in the environment, longest first."""
    found = {
        form for secret in {*secrets, *_of_environment()} for form in _spelled(secret)
    }
    return tuple(
        sorted((f for f in found if len(f) >= SHORTEST), key=len, reverse=True)
    )


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name in URLS:
            # In the encoding of the variable, which may differ from quote().
            yield from _RAW.findall(value)
        elif _SECRET_NAME.search(name):
            yield value


def _spelled(secret: str) -> Iterator[str]:
    yield secret
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (html.escape(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1])
    yield html.escape(repr(secret)[1:-1])


class Formatter(VisibleFormatter):
    """Format a log record and its traceback without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines of a traceback."""
        return without_secrets(super().format(record))


class ReportFilter(SafeExceptionReporterFilter):
    """Hide settings and variables with a URL, and those that Django hides."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|DATABASE",
        re.IGNORECASE,
    )


class Report(ExceptionReporter):
    """Django's error page, or its text, without secrets."""

    def get_traceback_html(self) -> str:
        """Return the page."""
        return without_secrets(super().get_traceback_html())

    def get_traceback_text(self) -> str:
        """Return the text."""
        return without_secrets(super().get_traceback_text())


def traceback_text(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> str:
    """Return the text that Python prints for an error, without secrets."""
    lines: list[Any] = traceback.format_exception(kind, error, trace)
    return without_secrets(visible("".join(lines)))
