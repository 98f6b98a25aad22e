"""Replace the references of a document by the content of their files.

`$file` becomes a text, `$agent_md` an agent, and `$literal` its value, unchanged.
"""

import copy
from collections.abc import Iterable
from typing import Final

from blueprints.loaders.agent_md import AgentMdInvalid, read_agent_md
from blueprints.loaders.cascade import MOST_INCLUDES, Cascade
from blueprints.loaders.files import MAX_BYTES, FileTooLong, FileUnreadable, decoded
from engine.blueprint.findings.diagnostics import place_in
from engine.blueprint.kinds.registry import MARKDOWN_KIND
from engine.flow.json_text import Json, dump_compact, find_fault

FILE: Final = "$file"
AGENT: Final = "$agent_md"
LITERAL: Final = "$literal"
INCLUDES: Final = "blueprint_ref_includes"
MOST_FILES: Final = 2000
"""The number of file names that a document may mention: each searches every folder."""
_AS_DATA: Final = 'for data of that form write {"$literal": {...}}'

Trail = tuple[str | int, ...]


class ReferenceInvalid(Exception):
    """A reference that can't be followed; `code` names the rule for programs."""

    def __init__(self, place: str, rule: str, code: str = "file-ref") -> None:
        """Make an error from a place and a rule for people."""
        super().__init__(f"{place}: {rule}")
        self.place = place
        self.rule = rule
        self.code = code


def expand(document: Json, cascade: Cascade) -> Json:
    """Return a document without references; its includes are searched after the base.

    The content of a file is not searched for references. The files have at most 4 MiB
    together, every mention counted. Raises ReferenceInvalid.
    """
    if isinstance(document, dict) and INCLUDES in document:
        cascade = _with_includes(document[INCLUDES], cascade)
        document = {key: part for key, part in document.items() if key != INCLUDES}
    expanded = _Expander(document, cascade).expand(document, ())
    fault = find_fault(expanded)
    if fault is not None:
        raise ReferenceInvalid(*fault, code="depth")
    return expanded


def may_refer(document: Json) -> bool:
    """Return whether a key of a document has a `$`: without one it has no reference."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "$" in "".join(part):
                return True
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return False


def escape(document: Json) -> Json:
    """Wrap data that looks like a reference in `$literal`; `expand` is the inverse."""
    return _escaped(document) if may_refer(document) else document


def _escaped(document: Json) -> Json:
    if isinstance(document, list):
        return [_escaped(part) for part in document]
    if not isinstance(document, dict):
        return document
    if any(_intended_word(key, part) for key, part in document.items()):
        return {LITERAL: document}
    return {key: _escaped(part) for key, part in document.items()}


class _Expander:
    """Expand one document and count the bytes of its files."""

    def __init__(self, document: Json, cascade: Cascade) -> None:
        self._cascade = cascade
        self._left = MAX_BYTES
        self._files: dict[str, bytes] = {}
        self._agents: dict[str, tuple[dict[str, Json], int]] = {}
        fields = document if isinstance(document, dict) else {}
        self._has_texts = fields.get("dialect") == "swarm"
        kind = fields.get("default_agent_kind")
        self._kind = kind if kind and isinstance(kind, str) else MARKDOWN_KIND

    def expand(self, value: Json, trail: Trail, *, literal: bool = False) -> Json:
        """Return a part of the document; `literal` says that it is no expression."""
        if isinstance(value, list):
            return [
                self.expand(part, (*trail, n), literal=literal)
                for n, part in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        for word in (LITERAL, FILE, AGENT):
            if word in value:
                if word == FILE and self._has_texts and trail[:1] == ("flow",):
                    _require_literal(literal, trail)
                return self._follow(word, value, trail)
        return self._members(value, trail, literal=literal or _is_literal(value))

    def _members(
        self, value: dict[str, Json], trail: Trail, *, literal: bool = False
    ) -> dict[str, Json]:
        for key, part in value.items():
            word = _intended_word(key, part)
            if word is not None:
                rule = f"unknown reference '{key}'; did you mean '{word}'?"
                raise ReferenceInvalid(place_in("$", trail), f"{rule} {_AS_DATA}")
        return {
            key: self.expand(part, (*trail, key), literal=literal)
            for key, part in value.items()
        }

    def _follow(self, word: str, value: dict[str, Json], trail: Trail) -> Json:
        place = place_in("$", trail)
        given = value[word]
        others = [key for key in value if key != word]
        if others and word != AGENT:
            rule = f"'{word}' must be the only key, but there is also '{others[0]}'"
            raise ReferenceInvalid(place, f"{rule}; {_AS_DATA}")
        if word == LITERAL:
            return given
        place = place_in("$", (*trail, word))
        if not isinstance(given, str):
            raise ReferenceInvalid(place, f"expected a relative path; {_AS_DATA}")
        if word == FILE:
            return self._text(given, place)
        siblings = {key: part for key, part in value.items() if key != AGENT}
        return self._agent(given, place, self._members(siblings, trail))

    def _text(self, name: str, place: str) -> str:
        content = self._read(name, place)
        self._charge(len(content), place)
        try:
            return decoded(content)
        except FileUnreadable as error:
            raise ReferenceInvalid(place, f"{name!r}: {error}") from None

    def _agent(self, name: str, place: str, siblings: dict[str, Json]) -> Json:
        if name not in self._agents:
            content = self._read(name, place)
            try:
                agent = read_agent_md(content, self._kind)
            except AgentMdInvalid as error:
                rule = f"{name!r}: {error}"
                raise ReferenceInvalid(place, rule, error.code) from None
            # Aliases can make the agent larger than the file, comments smaller.
            size = max(len(content), len(dump_compact(agent).encode()))
            self._agents[name] = agent, size
        agent, size = self._agents[name]
        self._charge(size, place)
        # A change of one agent must not change the others of the same file.
        return {**copy.deepcopy(agent), **siblings}

    def _read(self, name: str, place: str) -> bytes:
        if name in self._files:
            return self._files[name]
        if len(self._files) == MOST_FILES:
            rule = f"the document mentions more than {MOST_FILES} files"
            raise ReferenceInvalid(place, rule, "size")
        try:
            self._files[name] = self._cascade.read(name, self._left)
        except FileUnreadable as error:
            if isinstance(error, FileTooLong) and self._left < MAX_BYTES:
                raise _too_much(place) from None
            raise ReferenceInvalid(place, str(error)) from None
        return self._files[name]

    def _charge(self, size: int, place: str) -> None:
        self._left -= size
        if self._left < 0:
            raise _too_much(place)


def _is_literal(value: dict[str, Json]) -> bool:
    """Return whether a part of a flow of the dialect swarm is a text or a literal."""
    return value.keys() in ({"lit"}, {"template"}) or value.get("op") == "lit"


def _require_literal(literal: bool, trail: Trail) -> None:
    """Raise ReferenceInvalid for a file in the place of an expression."""
    if not literal:
        rule = (
            "a file is no expression; write {lit: {$file: …}} or {template: {$file: …}}"
        )
        raise ReferenceInvalid(place_in("$", (*trail, FILE)), rule)


def _too_much(place: str) -> ReferenceInvalid:
    rule = f"the files of the document have more than {MAX_BYTES} bytes (4 MiB)"
    return ReferenceInvalid(place, rule, "size")


def _with_includes(includes: Json, cascade: Cascade) -> Cascade:
    place = f"$.{INCLUDES}"
    if not isinstance(includes, list):
        raise ReferenceInvalid(place, "expected an array of folders", "includes")
    if len(includes) > MOST_INCLUDES:
        rule = f"expected at most {MOST_INCLUDES} folders, got {len(includes)}"
        raise ReferenceInvalid(place, rule, "includes")
    folders = []
    for number, include in enumerate(includes):
        at = f"{place}[{number}]"
        if not isinstance(include, str):
            raise ReferenceInvalid(at, "expected a folder below the base", "includes")
        try:
            folders.append(cascade.folder(include))
        except FileUnreadable as error:
            raise ReferenceInvalid(at, str(error), "includes") from None
    return Cascade([*cascade.folders[:1], *folders, *cascade.folders[1:]])


def _intended_word(key: str, value: Json) -> str | None:
    """Return the reference word that a key is, or is one typing error away from."""
    if not key.startswith("$"):
        return None
    words: Iterable[str] = (FILE, AGENT, LITERAL)
    if key in words:
        return key
    if not isinstance(value, str):
        words = (LITERAL,)
    return next((word for word in words if _is_one_edit(key.lower(), word)), None)


def _is_one_edit(a: str, b: str) -> bool:
    """Return whether two words differ by one letter or two swapped letters, or less."""
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return (len(a) <= 1 and len(b) <= 1) or (len(a) == 2 and a == b[::-1])
