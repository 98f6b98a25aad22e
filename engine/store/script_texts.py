"""The texts of the Lua scripts: each with the constants and the parts of the prelude it uses.

Redis runs the whole text at every call, and each function of the prelude that is made and
not used takes as long as a command. So a script has only the parts that it names, itself
or through another part. Comments are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Final

SHEBANG: Final = "#!lua flags=no-cluster{extra}\n"
# These scripts add data. All others run also when Redis is out of memory: they save work
# that is done, or end runs, which frees memory.
ADDS_WORK: Final = frozenset({"start", "upload", "open", "emit", "install"})
# These run also when Redis can't write to its disk.
READS: Final = frozenset({"head"})
PRELUDE: Final = "-- PRELUDE\n"
"""The line that the prelude replaces; without it the prelude comes first."""
CONSTANT: Final = re.compile(r"\$([A-Z_]+)")
_COMMENT: Final = re.compile(r"^ *--.*\n", re.MULTILINE)
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
# A part begins at the margin and ends before the next line there but `end`.
_PART: Final = re.compile(r"^(?!end)\w.*\n(?:(?: |end).*\n|\n)*", re.MULTILINE)
_NAMES: Final = re.compile(
    r"(?:local function (\w+)|local ([\w, ]+?)(?: =|\n)|(\w+) = function)"
)


class Scripts:
    """The Lua scripts of this store, by name, with their SHA-1."""

    def __init__(self, constants: Mapping[str, int | str]) -> None:
        """Read the scripts; add what they use of the prelude and the constants to each.

        A script names a constant with a dollar sign, as in `$STATE`.
        """
        folder = resources.files("engine.store").joinpath("scripts")
        prelude = list(parts(folder.joinpath("prelude.lua").read_text()))
        self.text: dict[str, bytes] = {}
        self.sha: dict[str, str] = {}
        for entry in folder.iterdir():
            name, _, ext = entry.name.partition(".")
            if ext != "lua" or name == "prelude":
                continue
            flags = "" if name in ADDS_WORK else ",allow-oom"
            flags += ",no-writes" if name in READS else ""
            before, _, after = entry.read_text().rpartition(PRELUDE)
            before, after = _COMMENT.sub("", before), _COMMENT.sub("", after)
            text = SHEBANG.format(extra=flags) + before + used(prelude, after) + after
            text = CONSTANT.sub(lambda name: str(constants[name[1]]), text)
            self.text[name] = text.encode()
            self.sha[name] = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Redis names scripts so


def parts(prelude: str) -> Iterator[tuple[frozenset[str], str]]:
    """Yield the statements of the prelude, each with the names that it defines."""
    text = _COMMENT.sub("", prelude)
    for part in _PART.findall(text):
        found = _NAMES.match(part)
        if found is None:
            raise ValueError(f"a part of the prelude defines no name: {part}")
        yield frozenset(_WORD.findall("".join(filter(None, found.groups())))), part


def used(prelude: list[tuple[frozenset[str], str]], script: str) -> str:
    """Return the parts of the prelude that a script names, in their order."""
    words = set(_WORD.findall(script))
    kept: set[int] = set()
    while more := {
        at
        for at, (names, _) in enumerate(prelude)
        if at not in kept and not names.isdisjoint(words)
    }:
        kept |= more
        words.update(*(_WORD.findall(prelude[at][1]) for at in more))
    return "".join(prelude[at][1] for at in sorted(kept))
