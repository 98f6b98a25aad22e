"""The folders that are searched for referenced files; no reference leads out of them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blueprints.loaders.files import MAX_BYTES, FileUnreadable, read_file, real_path

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
MOST_INCLUDES: Final = 64
"""The number of folders that a document may add: every reference searches each."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A searched folder; `path` has no symbolic link, `origin` is for people."""

    path: str
    origin: str


@dataclass(frozen=True, slots=True)
class Cascade:
    """Folders in search order; the first is the base."""

    folders: Sequence[Folder]

    def folder(self, include: str) -> Folder:
        """Return a folder below the base; raises FileUnreadable."""
        base = self.folders[0].path
        _check_written(include)
        try:
            path = real_path(os.path.join(base, include))
        except FileUnreadable as error:
            raise FileUnreadable(f"{include!r}: {error}") from None
        if not os.path.isdir(path):
            raise FileUnreadable(f"no folder {include!r} in {base}")
        if not _is_below(path, base):
            raise FileUnreadable(f"{include!r} leads out of {base} by a symbolic link")
        return Folder(path, "blueprint_ref_includes")

    def find(self, name: str) -> str | None:
        """Return the path of `name` in the first folder that has it, behind all links.

        The path is below one of the folders; raises FileUnreadable for any other. Open it
        without following links, as `real_path` demands.
        """
        for folder in self.folders:
            candidate = os.path.join(folder.path, name)
            if os.path.lexists(candidate):
                path = real_path(candidate)
                if not any(_is_below(path, folder.path) for folder in self.folders):
                    raise FileUnreadable(
                        "a symbolic link leads out of the searched folders"
                    )
                return path
        return None

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """Return the content of the file that `find` finds.

        Raises FileUnreadable, and FileTooLong for a file of more than `most` bytes.
        """
        _check_written(name)
        try:
            path = self.find(name)
            if path is not None:
                return read_file(path, follow=False, most=most)
        except FileUnreadable as error:
            raise type(error)(f"{name!r}: {error}") from None
        searched = "; ".join(
            f"{one.path} ({one.origin}{'' if os.path.isdir(one.path) else ', not there'})"
            for one in self.folders
        )
        raise FileUnreadable(f"no file {name!r} in any of: {searched}")


def cascade_of(base: str | Path, outer: Iterable[tuple[str, Sequence[str]]]) -> Cascade:
    """Return the cascade of a document in the folder `base`.

    `outer` are the folders of the settings and the caller, each group with its origin; a
    relative one is below the working directory. Raises FileUnreadable.
    """
    folders = [Folder(real_path(base), "beside the document")]
    for origin, paths in outer:
        folders += [Folder(real_path(path), origin) for path in paths]
    return Cascade([*folders, Folder(str(SAMPLES), "samples")])


def _check_written(name: str) -> None:
    if not name or "\0" in name:
        raise FileUnreadable(
            "expected a relative path, got an empty one or a null character"
        )
    if os.path.isabs(name):
        raise FileUnreadable(
            f"{name!r} is absolute; write it relative to a searched folder"
        )
    if ".." in name.split("/"):
        raise FileUnreadable(
            f"{name!r} has '..' in it; name a file below a searched folder"
        )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
