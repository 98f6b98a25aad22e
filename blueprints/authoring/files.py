"""Write a file atomically."""

import os
import tempfile
from pathlib import Path

from blueprints.parameters import ArgumentRefused


def write_whole(path: Path, text: str | bytes) -> None:
    """Replace the content of a file in one step; raises ArgumentRefused.

    A symbolic link stays a link: its target gets the content.
    """
    target = Path(os.path.realpath(path))
    kept = ""
    try:
        # An existing file keeps its mode, a new one gets that of the umask.
        mode = target.stat().st_mode & 0o777 if target.exists() else _new_mode()
        handle, kept = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with open(handle, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        os.chmod(kept, mode)
        os.replace(kept, target)
    except (OSError, ValueError) as error:
        if kept and os.path.exists(kept):
            os.unlink(kept)
        reason = getattr(error, "strerror", None) or str(error)
        raise ArgumentRefused(f"{path}: can't be written: {reason}") from None


def _new_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
