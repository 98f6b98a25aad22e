"""Find the executable of a child process, before its input is read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

NO_PROGRAM: Final = "program-not-found"
_PYTHON: Final = re.compile(r"python(3(\.\d+)?)?", re.ASCII)
"""A name of any Python; a path names a particular one."""


def search_path() -> str:
    """Return this process's PATH without relative folders."""
    return absolute_folders(os.environ.get("PATH", os.defpath))


@lru_cache(maxsize=8)
def absolute_folders(path: str) -> str:
    """Return the absolute ones of the folders in a PATH.

    A relative folder would be looked up in the working directory of the child.
    """
    return os.pathsep.join(filter(os.path.isabs, path.split(os.pathsep)))


def find_program(word: str) -> str:
    """Return the executable that a word names in search_path.

    A path, or a word that names none, is returned as it is: only absolute paths are
    ever started.
    """
    if os.sep in word:
        return word
    return shutil.which(word, path=search_path()) or word


def program_word(spec: Mapping[str, Any]) -> str:
    """Return the program of an agent's spec, in either form."""
    argv = spec.get("argv")
    return str(argv[0] if argv else spec.get("program", ""))


def asks_for_python(spec: Mapping[str, Any]) -> bool:
    """Return whether an agent's spec names any Python, not a particular one."""
    return _PYTHON.fullmatch(program_word(spec)) is not None
