"""Registered scripts: Lua files below the folders of settings.SWARM_LUA_DIRS.

A name is a path below one of them, `.lua` may be left out; no name leads outside.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LARGEST: Final = 1024 * 1024

_kept: dict[tuple[str, tuple[str, ...]], tuple[str, tuple[int, ...], str]] = {}


def find_script(name: str, folders: Sequence[str]) -> str:
    """Return the text of a registered script; LookupError says what is wrong.

    The first folder that has it wins. A file is read again when it has changed.
    """
    kept = _kept.get((name, tuple(folders)))
    if kept is not None and _stamp(kept[0]) == kept[1]:
        return kept[2]
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise LookupError(f"{name!r} is no name of a script: no '/' in front, no '..'")
    file = name if name.endswith(".lua") else f"{name}.lua"
    for folder in folders:
        base = os.path.realpath(folder)
        path = os.path.realpath(os.path.join(base, file))
        if not os.path.isfile(path):
            continue
        if not path.startswith(os.path.join(base, "")):
            raise LookupError(f"the script {name!r} leads out of {folder}")
        stamp = _stamp(path)
        text = _read(path, name)
        _kept[name, tuple(folders)] = (path, stamp, text)
        return text
    raise LookupError(_unknown(name, folders))


def _stamp(path: str) -> tuple[int, ...]:
    """Tell one state of a file from another; `path` has no link in it."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns)


def _read(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        text = f"the script {name!r} can't be read: {error.strerror}"
        raise LookupError(text) from None
    if len(data) > LARGEST:
        raise LookupError(f"the script {name!r} is larger than {LARGEST} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = f"the script {name!r}: byte {error.start} is not UTF-8"
        raise LookupError(text) from None


def _unknown(name: str, folders: Sequence[str]) -> str:
    known = sorted(
        path.relative_to(folder).as_posix().removesuffix(".lua")
        for folder in folders
        for path in Path(folder).rglob("*.lua")
    )
    near = difflib.get_close_matches(name.removesuffix(".lua"), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "is its folder in SWARM_LUA_DIRS?"
    return f"no Lua script is registered as {name!r}; {hint}"
