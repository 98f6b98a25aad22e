"""Where an exception came from, in the code of who wrote the agent."""

from __future__ import annotations

import sysconfig
import traceback
from typing import Final

from blueprints.code_places import code_place

LIBRARIES: Final = tuple(
    f"{sysconfig.get_path(name)}/" for name in ("stdlib", "purelib", "platlib")
)
OURS: Final = ("engine.", "workers.", "blueprints.agents")


def raised_at(error: BaseException) -> str:
    """Return `raised at FILE:LINE in FUNCTION`, empty where no frame is known.

    It is the innermost frame of neither Python, its packages nor our own code; where all
    are of those, the innermost but for ours.
    """
    last = written = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith(OURS):
            continue
        last = frame.f_code, line
        # Code without a file (`<frozen ...>`, `<string>`) has nothing to look at.
        if not frame.f_code.co_filename.startswith((*LIBRARIES, "<")):
            written = last
    found = written or last
    if found is None:
        return ""
    code, line = found
    return f"raised at {code_place(code.co_filename, line)} in {code.co_name}"
