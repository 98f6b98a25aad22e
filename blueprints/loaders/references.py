"""Puts referenced files in the place of their references, before a document is read.

`$file` becomes a text, `$agent_md` an agent, and what `$literal` holds is data as it is.
"""

import copy
from collections.abc import Iterable
from typing import Final

from blueprints.loaders.agent_md import AgentMdInvalid, read_agent_md
from blueprints.loaders.cascade import (
    MOST_INCLUDES,
    Cascade,
    NoRoom,
    ReferenceRefused,
)
from blueprints.loaders.files import MAX_BYTES
from engine.blueprint.diagnostics import place_in
from engine.flow.json_text import Json, dump_compact, find_fault

FILE: Final = "$file"
AGENT: Final = "$agent_md"
LITERAL: Final = "$literal"
INCLUDES: Final = "blueprint_ref_includes"
DEFAULT_KIND: Final = "operator"
MOST_FILES: Final = 2000
"""Names of files that a document may mention: each is looked for in every folder."""
_AS_DATA: Final = 'for data of that form write {"$literal": {...}}'

Trail = tuple[str | int, ...]


class ReferenceInvalid(Exception):
    """A reference that can't be followed; place, rule and the rule's name."""

    def __init__(self, place: str, rule: str, code: str = "file-ref") -> None:
        """Fault with a rule for people."""
        super().__init__(f"{place}: {rule}")
        self.place = place
        self.rule = rule
        self.code = code


def expand(document: Json, cascade: Cascade) -> Json:
    """Returns a document without references; its own folders are searched second.

    Texts that come from files are never searched for references themselves. All that
    comes from files is at most 4 MiB, every mention counted. Raises ReferenceInvalid.
    """
    if isinstance(document, dict) and INCLUDES in document:
        cascade = _with_own(document[INCLUDES], cascade)
        # Nothing is left that could need them.
        document = {key: part for key, part in document.items() if key != INCLUDES}
    expanded = _Expander(document, cascade).expand(document, ())
    fault = find_fault(expanded)
    if fault is not None:
        raise ReferenceInvalid(*fault, code="depth")
    return expanded


def escape(document: Json) -> Json:
    """Returns an expanded document as it is written down: `expand` gives it back.

    Data that looks like a reference is wrapped in `$literal`.
    """
    if isinstance(document, list):
        return [escape(part) for part in document]
    if not isinstance(document, dict):
        return document
    if any(_meant(key, part) for key, part in document.items()):
        return {LITERAL: document}
    return {key: escape(part) for key, part in document.items()}


class _Expander:
    """Walks one document and counts what comes from files."""

    def __init__(self, document: Json, cascade: Cascade) -> None:
        self._cascade = cascade
        self._left = MAX_BYTES
        self._files: dict[str, bytes] = {}
        self._agents: dict[str, tuple[dict[str, Json], int]] = {}
        kind = document.get("default_agent_kind") if isinstance(document, dict) else ""
        self._kind = kind if kind and isinstance(kind, str) else DEFAULT_KIND

    def expand(self, value: Json, trail: Trail) -> Json:
        if isinstance(value, list):
            return [self.expand(part, (*trail, n)) for n, part in enumerate(value)]
        if not isinstance(value, dict):
            return value
        for word in (LITERAL, FILE, AGENT):
            if word in value:
                return self._follow(word, value, trail)
        return self._members(value, trail)

    def _members(self, value: dict[str, Json], trail: Trail) -> dict[str, Json]:
        for key, part in value.items():
            word = _meant(key, part)
            if word is not None:
                rule = f"unknown reference '{key}'; did you mean '{word}'?"
                raise ReferenceInvalid(place_in("$", trail), f"{rule} {_AS_DATA}")
        return {key: self.expand(part, (*trail, key)) for key, part in value.items()}

    def _follow(self, word: str, value: dict[str, Json], trail: Trail) -> Json:
        place = place_in("$", trail)
        given = value[word]
        others = [key for key in value if key != word]
        if others and word != AGENT:
            rule = f"'{word}' must be the only key, but '{others[0]}' is there too"
            raise ReferenceInvalid(place, f"{rule}; {_AS_DATA}")
        if word == LITERAL:
            return given
        place = place_in("$", (*trail, word))
        if not isinstance(given, str):
            rule = f"expected a relative path; {_AS_DATA}"
            raise ReferenceInvalid(place, rule)
        if word == FILE:
            return self._text(given, place)
        siblings = {key: part for key, part in value.items() if key != AGENT}
        return self._agent(given, place, self._members(siblings, trail))

    def _text(self, name: str, place: str) -> str:
        content = self._read(name, place)
        self._charge(len(content), place)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            rule = f"{name!r}: byte {error.start}: not UTF-8"
            raise ReferenceInvalid(place, rule) from None

    def _agent(self, name: str, place: str, siblings: dict[str, Json]) -> Json:
        if name not in self._agents:
            content = self._read(name, place)
            try:
                agent = read_agent_md(content, self._kind)
            except AgentMdInvalid as error:
                rule = f"{name!r}: {error}"
                raise ReferenceInvalid(place, rule, error.code) from None
            # Aliases in front matter can multiply, so it is what they say that counts;
            # comments say nothing, and are read all the same.
            size = max(len(content), len(dump_compact(agent).encode()))
            self._agents[name] = agent, size
        agent, size = self._agents[name]
        self._charge(size, place)
        # Who changes one must not change the others of the same file.
        return {**copy.deepcopy(agent), **siblings}

    def _read(self, name: str, place: str) -> bytes:
        if name in self._files:
            return self._files[name]
        if len(self._files) == MOST_FILES:
            rule = f"the document mentions more than {MOST_FILES} files"
            raise ReferenceInvalid(place, rule, "size")
        try:
            self._files[name] = self._cascade.read(name, self._left)
        except NoRoom:
            raise _too_much(place) from None
        except ReferenceRefused as error:
            raise ReferenceInvalid(place, str(error)) from None
        return self._files[name]

    def _charge(self, size: int, place: str) -> None:
        self._left -= size
        if self._left < 0:
            raise _too_much(place)


def _too_much(place: str) -> ReferenceInvalid:
    rule = f"the document has more than {MAX_BYTES} bytes (4 MiB) of files in it"
    return ReferenceInvalid(place, rule, "size")


def _with_own(includes: Json, cascade: Cascade) -> Cascade:
    place = f"$.{INCLUDES}"
    if not isinstance(includes, list):
        raise ReferenceInvalid(place, "expected an array of folders", "includes")
    if len(includes) > MOST_INCLUDES:
        rule = f"expected at most {MOST_INCLUDES} folders, got {len(includes)}"
        raise ReferenceInvalid(place, rule, "includes")
    for number, include in enumerate(includes):
        at = f"{place}[{number}]"
        if not isinstance(include, str):
            raise ReferenceInvalid(at, "expected a folder below the base", "includes")
        try:
            cascade.with_includes([include])
        except ReferenceRefused as error:
            raise ReferenceInvalid(at, str(error), "includes") from None
    return cascade.with_includes(includes)


def _meant(key: str, value: Json) -> str | None:
    """Returns the reference that a key is, or is one slip of the finger from."""
    if not key.startswith("$"):
        return None
    words: Iterable[str] = (FILE, AGENT, LITERAL)
    if key in words:
        return key
    if not isinstance(value, str):
        words = (LITERAL,)
    return next((word for word in words if _one_slip(key.lower(), word)), None)


def _one_slip(a: str, b: str) -> bool:
    """Tells whether two words differ by at most one letter, or two that changed place."""
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return (len(a) <= 1 and len(b) <= 1) or (len(a) == 2 and a == b[::-1])
