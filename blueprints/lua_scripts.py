"""Registered scripts: Lua files below the folders of settings.SWARM_LUA_DIRS.

A name is a path below one of them, `.lua` may be left out; no name leads outside.
"""

from __future__ import annotations

import difflib
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

from blueprints.loaders.files import TooLong, Unreadable, read_file, real_path

LARGEST: Final = 1024 * 1024
LONGEST_NAME: Final = 256
CACHE_BYTES: Final = 16 * 1024 * 1024
ENTRY: Final = 1024
"""What an entry takes besides its text."""
MOST_KNOWN: Final = 1000
"""Names that one which is not registered is held against."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A script as it was read: its file, in which state, and what it takes."""

    path: str
    stamp: tuple[int, ...]
    text: str
    size: int


# One entry a file, whatever its spelling.
_kept: LRUCache[tuple[str, tuple[str, ...]], _Kept] = LRUCache(
    CACHE_BYTES, getsizeof=lambda kept: kept.size
)
_lock = threading.Lock()


def find_script(name: str, folders: Sequence[str]) -> str:
    """Return the text of a registered script; LookupError says what is wrong.

    The first folder that has it wins. A file is read again when it has changed.
    """
    file = _file(name)
    key = (file, tuple(folders))
    with _lock:
        kept = _kept.get(key)
    if kept is not None and _stamp(kept.path) == kept.stamp:
        return kept.text
    for folder in folders:
        try:
            base = real_path(folder)
            path = real_path(os.path.join(base, file))
        except Unreadable as error:
            raise LookupError(f"the script {name!r} {error}") from None
        if not os.path.isfile(path):
            continue
        if not path.startswith(os.path.join(base, "")):
            raise LookupError(f"the script {name!r} leads out of {folder}")
        stamp = _stamp(path)
        text = _read(path, name)
        with _lock:
            _kept[key] = _Kept(path, stamp, text, sys.getsizeof(text) + ENTRY)
        return text
    raise LookupError(_unknown(name, folders))


def _file(name: str) -> str:
    """Return the one spelling of a script's file below its folder."""
    if len(name) > LONGEST_NAME:
        raise LookupError(f"a script's name has at most {LONGEST_NAME} characters")
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise LookupError(f"{name!r} is no name of a script: no '/' in front, no '..'")
    name = posixpath.normpath(name)
    return name if name.endswith(".lua") else f"{name}.lua"


def _stamp(path: str) -> tuple[int, ...]:
    """Tell one state of a file from another; `path` has no link in it."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns)


def _read(path: str, name: str) -> str:
    try:
        return read_file(path, follow=False, most=LARGEST).decode()
    except TooLong:
        text = f"the script {name!r} is larger than {LARGEST} bytes"
    except Unreadable as error:
        text = f"the script {name!r} {error}"
    except UnicodeDecodeError as error:
        text = f"the script {name!r}: byte {error.start} is not UTF-8"
    raise LookupError(text)


def _unknown(name: str, folders: Sequence[str]) -> str:
    found = (
        path.relative_to(folder).as_posix().removesuffix(".lua")
        for folder in folders
        for path in Path(folder).rglob("*.lua")
    )
    known = sorted(itertools.islice(found, MOST_KNOWN))
    near = difflib.get_close_matches(name.removesuffix(".lua"), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "is its folder in SWARM_LUA_DIRS?"
    return f"no Lua script is registered as {name!r}; {hint}"
