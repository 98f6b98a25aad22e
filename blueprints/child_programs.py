"""Which file a child process's program is: found before anybody looks at an input."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from typing import Any, Final

_PYTHON: Final = re.compile(r"python(3(\.\d+)?)?", re.ASCII)
"""A word that asks for some Python; a path asks for one Python, as it is."""


def search_path() -> str:
    """Return this process's PATH without the parts that mean where a child would run."""
    parts = os.get_exec_path(os.environ)
    return os.pathsep.join(part for part in parts if os.path.isabs(part))


def find_program(word: str) -> str:
    """Return the file that a word names, looked up in search_path.

    A path stays as it is, and so does a word that nothing is found for: what is not
    absolute is never started.
    """
    if os.sep in word:
        return word
    return shutil.which(word, path=search_path()) or word


def program_word(spec: Mapping[str, Any]) -> str:
    """Return what an agent's spec asks for, of either form."""
    argv = spec.get("argv")
    return str(argv[0] if argv else spec.get("program", ""))


def asks_for_python(spec: Mapping[str, Any]) -> bool:
    """Tell whether an agent's spec asks for whatever Python its word stands for."""
    return _PYTHON.fullmatch(program_word(spec)) is not None
