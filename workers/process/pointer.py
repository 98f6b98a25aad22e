"""JSON pointers (RFC 6901) into what a child printed."""

from __future__ import annotations

from typing import Any, Final

MISSING: Final = object()


def at_pointer(value: Any, pointer: str) -> Any:
    """Return the part of a JSON value that a pointer names, MISSING where there is none."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list) and _is_index(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def _is_index(key: str) -> bool:
    # No sign, no leading zero, and no digits of other scripts.
    return key == "0" or (
        len(key) < 10 and key.isascii() and key.isdigit() and key[0] != "0"
    )
