"""What a terminal would obey, shown as text: the one door for texts from outside.

Agents and documents may hold escapes that move a cursor, set a title, answer for the
person, or turn a line around. Whatever is printed or logged goes through `visible`.
"""

from __future__ import annotations

import logging
import re
from typing import Final

OBEYED: Final = (
    # C0 but newline and tab, DEL, and C1 (where CSI and OSC have a character each).
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"
    # Line and paragraph separators, then embeddings, overrides and isolates of bidi.
    r"\u2028-\u202e\u2066-\u2069"
)
"""The characters as the inside of a class, in the words that every regex has."""

_OBEYED: Final = re.compile(rf"[{OBEYED}\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return a text in which nothing is left for a terminal to obey.

    C0 becomes `\x1b`; JSON never has it as it is. All other characters become what JSON
    writes, `\u009b`, so that JSON stays the same JSON.
    """
    return _OBEYED.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"


class VisibleFormatter(logging.Formatter):
    """Formats a log record, with its traceback, as it can be seen."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return visible(super().format(record))
