"""The result of a check of `manage.py doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line: the name of the check, its level, its result and what to do."""

    name: str
    level: Level
    text: str
    hint: str = ""


def ok(text: str, *, name: str = "") -> CheckResult:
    """Return the result of a check that passes; `examine` fills in its name."""
    return CheckResult(name, "ok", text)


def warn(text: str, hint: str = "", *, name: str = "") -> CheckResult:
    """Return the result of a check that finds a risk."""
    return CheckResult(name, "warn", text, hint)


def fail(text: str, hint: str = "", *, name: str = "") -> CheckResult:
    """Return the result of a check that fails."""
    return CheckResult(name, "fail", text, hint)
