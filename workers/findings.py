"""What a check of `manage.py doctor` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, what to do about it."""

    name: str
    level: Level
    text: str
    hint: str = ""
