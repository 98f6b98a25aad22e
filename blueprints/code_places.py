"""Places in the code that people wrote, as they are told."""

from __future__ import annotations

import os


def code_place(file: str, line: int) -> str:
    """Return `file:line`, the file as seen from the working directory if it is below."""
    try:
        below = os.path.join(os.getcwd(), "")
    except OSError:
        # The directory is gone.
        below = ""
    return f"{file.removeprefix(below)}:{line}"
