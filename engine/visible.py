"""Control characters shown as text, so that no foreign text controls a terminal.

Texts of agents and documents may have escapes that move the cursor, set a title, answer
for the person, or reverse a line. All printed and logged texts go through `visible`.
"""

from __future__ import annotations

import logging
import re
from typing import Final

CONTROLS: Final = (
    # C0 but newline and tab, DEL, and C1 (where CSI and OSC have a character each).
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"
    # Line and paragraph separators, then embeddings, overrides and isolates of bidi.
    r"\u2028-\u202e\u2066-\u2069"
)
"""The control characters as the inside of a regular expression's class."""

_CONTROLS: Final = re.compile(rf"[{CONTROLS}\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return a text without control characters.

    C0 characters become `\x1b`, since valid JSON never contains them. All others become
    JSON escapes such as `\u009b`, so that JSON keeps its meaning.
    """
    return _CONTROLS.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"


class VisibleFormatter(logging.Formatter):
    """Formats a log record and its traceback without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return visible(super().format(record))
