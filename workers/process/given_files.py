"""Files that a child process gives as contents: their bytes go into the store of outputs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from blueprints.loaders.files import FileTooLong, FileUnreadable, read_file, real_path
from engine.output_store import OutputsAway
from engine.run.journal.outputs import FileContent, cut

SHOWN_PATH: Final = 200


class FileRefused(Exception):
    """A file can't be a content; the text says why."""


@dataclass(frozen=True, slots=True)
class GivenFile:
    """The path of a file, and what the child process says of it."""

    path: str
    mime: str | None = None
    size_hint: int | None = None


class GivenFiles:
    """Reads the files that one child process gives."""

    def __init__(self, cwd: str | None, most: int, put: Callable[[bytes], str]) -> None:
        """Accept files below the child's folder and that of temporary files.

        All of them have at most `most` bytes together; `put` keeps a content and returns
        its name.
        """
        self._cwd = cwd
        self._left = most
        self._put = put

    def take(self, given: GivenFile) -> FileContent:
        """Return a file as a content that the store has; raises FileRefused."""
        shown = ascii(cut(given.path, SHOWN_PATH))
        try:
            content = self._read(given.path)
            name = self._put(content)
        except FileTooLong:
            raise FileRefused(
                f"the file {shown} is larger than what is left of limits.output_bytes:"
                f" {self._left} bytes"
            ) from None
        except (FileUnreadable, FileRefused) as error:
            raise FileRefused(f"the file {shown} {error}") from None
        except OutputsAway as error:
            raise FileRefused(f"the file {shown} can't be kept: {error}") from None
        self._left -= len(content)
        return FileContent(given.path, name, len(content), given.mime, given.size_hint)

    def _read(self, path: str) -> bytes:
        if "\0" in path:
            raise FileRefused("has a null character in its name")
        if not os.path.isabs(path):
            if self._cwd is None:
                raise FileRefused(
                    "is relative, and the process has no folder of its own"
                )
            path = os.path.join(self._cwd, path)
        found = real_path(path)
        folders = [real_path(one) for one in (self._cwd, tempfile.gettempdir()) if one]
        if not any(found.startswith(f"{folder.rstrip('/')}/") for folder in folders):
            raise FileRefused(f"is outside of {' and '.join(folders)}")
        return read_file(found, follow=False, most=self._left)
