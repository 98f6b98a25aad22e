"""Where referenced files may be, and the only way to one: nothing leads out of there."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blueprints.loaders.files import (
    MAX_BYTES,
    TooLong,
    Unreadable,
    read_file,
    real_path,
)

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
MOST_INCLUDES: Final = 64
"""Folders that a document may have searched: each costs every reference a look."""
BUILD_HINT: Final = "`manage.py blueprint build FILE` writes a document without any"


class ReferenceRefused(Exception):
    """A reference that leads nowhere or where it must not; the text says the rule."""


class NoRoom(Exception):
    """A file that is longer than what is left for all files of a document."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is searched; `path` has no link in it, `origin` is for people."""

    path: str
    origin: str


class Cascade:
    """Folders in the order in which they are searched; the first is the base."""

    def __init__(self, folders: Sequence[Folder] = ()) -> None:
        """Without a folder, every reference is refused."""
        self._folders = tuple(folders)

    def with_includes(self, includes: Sequence[str]) -> "Cascade":
        """Returns the cascade with a document's own folders behind its base.

        `includes` are below the base; a ReferenceRefused tells the first that is not.
        """
        added = []
        for include in includes:
            rule = _written_rule(include)
            if rule is None and not self._folders:
                rule = f"folders can't be searched here; {BUILD_HINT}"
            if rule is not None:
                raise ReferenceRefused(rule)
            base = self._folders[0].path
            try:
                path = real_path(os.path.join(base, include))
            except Unreadable as error:
                raise ReferenceRefused(f"{include!r}: {error}") from None
            if not os.path.isdir(path):
                raise ReferenceRefused(f"no folder {include!r} in {base}")
            if not _is_below(path, base):
                rule = f"{include!r} leads out of {base} by a symbolic link"
                raise ReferenceRefused(rule)
            added.append(Folder(path, "blueprint_ref_includes"))
        return Cascade([*self._folders[:1], *added, *self._folders[1:]])

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """Returns what the first folder that has `name` holds there.

        The file itself, behind all links, is below one of the folders. Raises
        ReferenceRefused, and NoRoom for one of more than `most` bytes where others of
        that size may be.
        """
        rule = _written_rule(name)
        if rule is not None:
            raise ReferenceRefused(rule)
        if not self._folders:
            rule = f"references to files can't be followed here; {BUILD_HINT}"
            raise ReferenceRefused(rule)
        for folder in self._folders:
            candidate = os.path.join(folder.path, name)
            if os.path.lexists(candidate):
                return self._read_inside(candidate, name, most)
        searched = "; ".join(
            f"{folder.path} ({folder.origin}"
            + ("" if os.path.isdir(folder.path) else ", not there")
            + ")"
            for folder in self._folders
        )
        raise ReferenceRefused(f"no file {name!r} in any of: {searched}")

    def _read_inside(self, candidate: str, name: str, most: int) -> bytes:
        try:
            path = real_path(candidate)
            if not any(_is_below(path, folder.path) for folder in self._folders):
                rule = f"{name!r} leads out of the folders that may be read"
                raise ReferenceRefused(f"{rule}, by a symbolic link")
            # A folder may be swapped for a link from here on: none is followed.
            return read_file(path, follow=False, most=most)
        except Unreadable as error:
            if isinstance(error, TooLong) and most < MAX_BYTES:
                raise NoRoom from None
            raise ReferenceRefused(f"{name!r}: {error}") from None


def cascade_of(base: str | Path, outer: Iterable[tuple[str, Sequence[str]]]) -> Cascade:
    """Returns the cascade of a document in the folder `base`.

    `outer` are the folders beyond its own includes, each group with its origin; a
    relative one is below the working directory. Raises Unreadable.
    """
    folders = [Folder(real_path(base), "beside the document")]
    for origin, paths in outer:
        folders += [Folder(real_path(path), origin) for path in paths]
    return Cascade([*folders, Folder(str(SAMPLES), "samples")])


def _written_rule(name: str) -> str | None:
    if not name or "\0" in name:
        return "expected a relative path, got an empty one or a null character"
    if os.path.isabs(name):
        return f"{name!r} is absolute; write it relative to a searched folder"
    if ".." in name.split("/"):
        return f"{name!r} has '..' in it; only what is below may be named"
    return None


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
