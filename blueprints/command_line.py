"""Commands as a person types them: how to write one, and what a misspelt one means."""

from __future__ import annotations

import os


def typed(command: str) -> str:
    """Return a command of manage.py as it has to be typed where this one was started.

    `uv run` sets UV for what it starts; without it, Python itself is in the environment.
    """
    start = "uv run" if os.environ.get("UV") else "python"
    return f"{start} manage.py {command}"
