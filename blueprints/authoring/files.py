"""Writes files whole or not at all."""

import os
import tempfile
from pathlib import Path

from blueprints.parameters import Refused


def write_whole(path: Path, text: str) -> None:
    """Puts a text in the place of a file, in one step; raises Refused.

    A link stays one: what it leads to is written.
    """
    target = Path(os.path.realpath(path))
    kept = ""
    try:
        # A new file gets the rights any new file gets, an old one keeps its own.
        mode = target.stat().st_mode & 0o777 if target.exists() else _new_mode()
        handle, kept = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(kept, mode)
        os.replace(kept, target)
    except (OSError, ValueError) as error:
        if kept and os.path.exists(kept):
            os.unlink(kept)
        reason = getattr(error, "strerror", None) or str(error)
        raise Refused(f"{path}: can't be written: {reason}") from None


def _new_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
