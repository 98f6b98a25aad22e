"""Registered scripts: the Lua files below the folders of settings.SWARM_LUA_DIRS.

The name of a script is its path below one of them, with or without `.lua`.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cachetools import LRUCache

from blueprints.loaders.cascade import Cascade, Folder
from blueprints.loaders.files import FileTooLong, FileUnreadable, decoded, read_file
from engine.flow.spelling import hint_at

LARGEST: Final = 1024 * 1024
LONGEST_NAME: Final = 256
CACHE_BYTES: Final = 16 * 1024 * 1024
ENTRY: Final = 1024
"""The size of a cache entry without its text."""
MOST_KNOWN: Final = 1000
"""The most names that are compared with an unknown one."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A script in the cache: its file, the stamp of the file and its text."""

    path: str
    stamp: tuple[int, ...]
    text: str


# One entry a file: the key is the normalised name.
_kept: LRUCache[tuple[str, tuple[str, ...]], _Kept] = LRUCache(
    CACHE_BYTES, getsizeof=lambda kept: sys.getsizeof(kept.text) + ENTRY
)
_lock = threading.Lock()


def find_script(name: str, folders: Sequence[str]) -> str:
    """Return the text of a registered script; raise LookupError.

    The first folder that has the file is used. A changed file is read again.
    """
    file = _file(name)
    key = (file, tuple(folders))
    with _lock:
        kept = _kept.get(key)
    if kept is not None and _stamp(kept.path) == kept.stamp:
        return kept.text
    searched = [Folder(os.path.realpath(one), "SWARM_LUA_DIRS") for one in folders]
    try:
        path = Cascade(searched).find(file)
        if path is None:
            raise LookupError(_unknown(name, folders))
        stamp = _stamp(path)
        text = decoded(read_file(path, follow=False, most=LARGEST))
    except FileTooLong:
        text = f"the script {name!r} is larger than {LARGEST} bytes"
        raise LookupError(text) from None
    except FileUnreadable as error:
        raise LookupError(f"the script {name!r}: {error}") from None
    with _lock:
        _kept[key] = _Kept(path, stamp, text)
    return text


def _file(name: str) -> str:
    """Return the normalised path of a script below its folder; raise LookupError."""
    if len(name) > LONGEST_NAME:
        raise LookupError(f"a script's name has at most {LONGEST_NAME} characters")
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise LookupError(f"{name!r} is no name of a script: no '/' in front, no '..'")
    name = posixpath.normpath(name)
    return name if name.endswith(".lua") else f"{name}.lua"


def _stamp(path: str) -> tuple[int, ...]:
    """Return a value that changes with the file; `path` contains no link."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns)


def _unknown(name: str, folders: Sequence[str]) -> str:
    found = (
        path.relative_to(folder).as_posix().removesuffix(".lua")
        for folder in folders
        for path in Path(folder).rglob("*.lua")
    )
    hint = hint_at(name.removesuffix(".lua"), itertools.islice(found, MOST_KNOWN))
    hint = hint or "is its folder in SWARM_LUA_DIRS?"
    return f"no Lua script is registered as {name!r}; {hint}"
