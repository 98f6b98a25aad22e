"""How a Ctx is stored: edit lines, folded bases, joins and contents kept as references.

A join is never expanded in the store: whoever reads the log expands it from the lanes'
own logs. A reference is an object with one key, a random mark that the stored form names;
nothing is recognised by its shape, since an agent may answer with any object.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, TypedDict

import orjson

from engine.flow.document import Document
from engine.flow.json_text import MAX_DEPTH, text_depth
from engine.flow.offloaded import Contents, Offloaded
from engine.flow.path import Key, Path

# orjson calls the hook below for subclasses: `Lanes` is a list stored as a reference.
OPTIONS: Final = orjson.OPT_PASSTHROUGH_SUBCLASS
FOLD_AT: Final = 16 * 1024
# The depth from which on orjson refuses a value.
DEEPEST: Final = 255


class ChordRef(TypedDict, total=False):
    """The reference to a join in an edit line: chord, fanout node, number of lanes or one lane."""

    k: str
    node: int
    n: int
    i: int


class Lanes(list[Any]):
    """The joined results of a chord: a list that is stored as a reference."""

    __slots__ = ("depth", "ref", "size")

    def __init__(
        self, values: Iterable[Any], ref: ChordRef, depth: int, size: int = 0
    ) -> None:
        """Keep the expanded values of the lanes of `ref`, at most `depth` deep.

        `size` is the number of bytes from which they were read.
        """
        super().__init__(values)
        self.ref = ref
        self.depth = depth
        self.size = size


@lru_cache(maxsize=4096)
def _path(keys: tuple[Key, ...]) -> Path:
    return Path("$", keys)


@lru_cache(maxsize=4096)
def _head(keys: tuple[Key, ...]) -> bytes:
    return b"[" + orjson.dumps(keys) + b","


class Marks:
    """Writes joins and values kept elsewhere as references, under one mark.

    `depth` is the largest of the depths of what is behind them.
    """

    __slots__ = ("depth", "mark")

    def __init__(self, mark: str = "") -> None:
        """Use a mark, or a random one once there is a reference."""
        self.mark = mark
        self.depth = 0

    def refer(self, part: Any) -> Any:
        """Return the reference to a part of a value; TypeError if it is not JSON."""
        if type(part) is not Offloaded and not isinstance(part, Lanes):
            raise TypeError(f"{type(part).__name__} is not JSON")
        if part.depth > self.depth:
            self.depth = part.depth
        # A random mark does not occur in the value itself.
        if not self.mark:
            self.mark = secrets.token_hex(8)
        return {self.mark: part.ref}


def edit_line(keys: tuple[Key, ...], text: bytes, mark: str = "") -> bytes:
    """Return the edit line that writes a value, given as JSON text.

    With a `mark` the text has references.
    """
    if mark:
        return _head(keys) + text + b',"m' + mark.encode() + b'"]\n'
    return _head(keys) + text + b"]\n"


def delete_line(path: Path) -> bytes:
    """Return the edit line of a delete, which has a place and no value."""
    return _head(path.keys) + b'null,"delete"]\n'


def dump_edit(path: Path, value: Any) -> tuple[bytes, int]:
    """Return the edit line `[keys,value]` and an upper bound of the value's depth.

    The line has keys, since a path's text cannot express every key.
    """
    marks = Marks()
    body = orjson.dumps(value, default=marks.refer, option=OPTIONS)
    return edit_line(path.keys, body, marks.mark), text_depth(body) + marks.depth


def join_line(path: Path, ref: ChordRef) -> bytes:
    """Return the edit line of a join: `lanes` for all of them, `lane` for one."""
    tag = b"lane" if "i" in ref else b"lanes"
    return _head(path.keys) + orjson.dumps(ref) + b',"' + tag + b'"]\n'


Expand = Callable[[ChordRef, Document, dict[str, Lanes]], tuple[Any, int]]
"""Expands a chord's results: (reference, Ctx of the parent when it opened, joins known
there) -> value and its depth; the joins inside the lanes are added to those known."""


def replay(
    doc: Document,
    log: bytes,
    expand: Expand,
    known: dict[str, Lanes],
    contents: Contents,
    marks: Iterable[int] = (),
) -> dict[int, Any]:
    """Apply an edit log to a document and return the Ctx at each of the marked offsets.

    `known` has the joins read so far by chord, those of enclosing chains included; the
    joins of this log are added. The depth of the document grows with the written values.
    """
    wanted = set(marks)
    found: dict[int, Any] = {}
    offset = 0
    for line in log.split(b"\n"):
        if offset in wanted:
            found[offset] = doc.snapshot()
        if not line:
            break
        edit = orjson.loads(line)
        path = _path(tuple(edit[0]))
        # The line itself is a container.
        depth = len(path.keys) + text_depth(line) - 1
        if len(edit) == 2:
            doc.write(path, edit[1])
        elif edit[2] == "delete":
            doc.delete(path)
        elif edit[2] in ("lanes", "lane"):
            # A parent does not move while its chord is open: the lanes start from this Ctx.
            value, deep = expand(edit[1], doc, known)
            note_join(known, edit[1], value, deep)
            doc.write(path, value)
            depth = len(path.keys) + deep
        else:
            met: list[int] = [0]
            doc.write(path, _restore(edit[1], edit[2][1:], known, contents, met))
            depth += max(met)
        doc.depth = max(doc.depth, depth)
        offset += len(line) + 1
    return found


def note_join(known: dict[str, Lanes], ref: ChordRef, value: Any, depth: int) -> None:
    """Add a join to those known; for the value of one lane only the reference counts."""
    known[ref["k"]] = value if isinstance(value, Lanes) else Lanes((), ref, depth)


def _restore(
    value: Any,
    mark: str,
    known: dict[str, Lanes],
    contents: Contents,
    met: list[int],
) -> Any:
    """Return a value with what it refers to in place, and add the depths to `met`."""
    if isinstance(value, dict):
        if len(value) == 1 and mark in value:
            ref = value[mark]
            found = known[ref["k"]] if "k" in ref else Offloaded(ref, contents)
            met.append(found.depth)
            return found
        return {
            key: _restore(inner, mark, known, contents, met)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_restore(inner, mark, known, contents, met) for inner in value]
    return value


def log_outputs(log: bytes) -> Iterator[str]:
    """Yield the names of the contents to which an edit log refers."""
    for line in log.splitlines():
        edit: list[Any] = orjson.loads(line) if line.endswith(b'"]') else []
        # A value may end like a mark, but its line has two parts.
        if len(edit) > 2 and edit[2][:1] == "m":
            yield from _names(edit[1], edit[2][1:])


def stored_outputs(data: bytes) -> Iterator[str]:
    """Yield the names of the contents to which a base or a page of items refers."""
    if data[:1] == b"m":
        head, _, text = data.partition(b"\n")
        yield from _names(orjson.loads(text), head[1:].decode())


def _names(value: Any, mark: str) -> Iterator[str]:
    if isinstance(value, dict):
        if len(value) == 1 and mark in value:
            if "sha256" in value[mark]:
                yield value[mark]["sha256"]
            return
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _names(inner, mark)


def referred(value: Any, mark: str, contents: Contents) -> Any:
    """Return a value, read from JSON, with its references to contents in place."""
    return _restore(value, mark, {}, contents, []) if mark else value


def stored_text(value: Any, limit: int) -> bytes:
    """Return a base or a page of items: JSON text, joins expanded, or raise TooLarge.

    Where values in it are kept elsewhere, its first line is `m` and the mark.
    """
    marks = Marks()
    text = dump_expanded(value, limit, marks)
    return b"m" + marks.mark.encode() + b"\n" + text if marks.mark else text


def read_stored(data: bytes, contents: Contents) -> tuple[Any, int]:
    """Return the value of a base or a page of items, and an upper bound of its depth."""
    if data[:1] != b"m":
        return orjson.loads(data), text_depth(data)
    head, _, text = data.partition(b"\n")
    met: list[int] = [0]
    value = _restore(orjson.loads(text), head[1:].decode(), {}, contents, met)
    return value, text_depth(text) + max(met)


def depth_of(value: Any) -> int:
    """Return how many containers of a value are inside each other, joins expanded.

    A deeper value than MAX_DEPTH counts as MAX_DEPTH + 1. Shared parts are visited once.
    """
    return _depth(value, {}, MAX_DEPTH + 1)


def is_deeper(value: Any, most: int) -> bool:
    """Return whether more than `most` containers of a value, joins expanded, are nested.

    Most values are serialised for it, which is faster than a visit in Python.
    """
    try:
        if text_depth(orjson.dumps(value)) <= most:
            return False
    except orjson.JSONEncodeError:
        # It has a join or a number beyond 64 bits, or is too deep for orjson.
        pass
    return depth_of(value) > most


def _depth(value: Any, seen: dict[int, int], left: int) -> int:
    """Return the depth of a value, at most `left`; `seen` has the depths of containers."""
    if type(value) is Offloaded:
        return min(value.depth, left)
    if not isinstance(value, list | dict) or not left:
        return 0
    if (known := seen.get(id(value))) is not None:
        return min(known, left)
    depth = 0
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, list | dict | Offloaded):
            depth = max(depth, _depth(part, seen, left - 1))
            if depth >= left - 1:
                # The visit ends here, so the real depth is unknown and is not kept.
                return left
    seen[id(value)] = depth + 1
    return depth + 1


def whole_edit(value: Any, limit: int) -> tuple[bytes, int]:
    """Return the edit line that sets the whole Ctx, joins expanded, or raise TooLarge.

    With it comes the largest depth of what is kept elsewhere.
    """
    marks = Marks()
    text = dump_expanded(value, limit, marks)
    return edit_line((), text, marks.mark), marks.depth


def base_id(addr: str, data: bytes) -> str:
    """Return the name of a base: 16 hex of the sha-256 of its chain and its text.

    The random mark of its references does not count: a byte that no JSON text has stands
    for it.
    """
    if data[:1] == b"m":
        data = data.replace(data[1 : data.index(b"\n")], b"\0")
    return hashlib.sha256(addr.encode() + b"\0" + data).hexdigest()[:16]


class TooLarge(Exception):
    """The expanded value has more bytes than its limit."""


def outgrows(value: Any, most: int) -> bool:
    """Return whether the JSON text of a value surely has more than `most` bytes.

    Joins count as references. Shared parts are measured once, so that a value with a
    small memory and a huge text costs little. Levels beyond DEEPEST do not count.
    """
    return _least(value, {}, 0) > most


def _least(value: Any, seen: dict[int, int], depth: int) -> int:
    """Return a lower bound of a value's JSON size; `seen` has the bounds of containers."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, float):
        return len(repr(value)) - 1
    if not isinstance(value, list | dict) or isinstance(value, Lanes):
        return 1
    if (size := seen.get(id(value))) is not None:
        return size
    size = len(value) + 1
    if depth < DEEPEST:
        inner: Iterable[Any] = value
        if isinstance(value, dict):
            size += sum(len(key) + 3 for key in value)
            inner = value.values()
        for part in inner:
            size += _least(part, seen, depth + 1)
    seen[id(value)] = size
    return size


class _Expansion:
    """Expands joins and loads contents while a value is written, up to a limit."""

    def __init__(self, limit: int, marks: Marks | None) -> None:
        self._left = limit
        self._marks = marks
        self.fault: Exception | None = None
        """What orjson hides: it reports every error of a hook as a type that is no JSON."""

    def spend(self, part: Any) -> Any:
        """Return a part of the value as orjson writes it."""
        try:
            if type(part) is Offloaded:
                return self._content(part)
            if isinstance(part, Lanes):
                return self._joined(part)
        except orjson.JSONEncodeError:
            raise
        except Exception as fault:
            self.fault = fault
            raise
        raise TypeError(f"{type(part).__name__} is not JSON")

    def _joined(self, lanes: Lanes) -> Any:
        parts: list[bytes] = []
        for lane in lanes:
            left = self._left
            parts.append(orjson.dumps(lane, default=self.spend, option=OPTIONS))
            # The text of a lane has what was taken for the parts in it.
            self._left = left
            self._take(len(parts[-1]) + 1)
        return orjson.Fragment(b"[" + b",".join(parts) + b"]")

    def _content(self, one: Offloaded) -> Any:
        if self._marks is not None:
            return self._marks.refer(one)
        self._take(one.size)
        return orjson.Fragment(one.text())

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge


def dump_expanded(value: Any, limit: int, marks: Marks | None = None) -> bytes:
    """Return a value's JSON text with its joins expanded, or raise TooLarge.

    With `marks`, what is kept elsewhere is written as references, else it is loaded
    (OutputMissing, OutputsAway). A join is expanded lane by lane, so that the limit stops
    it early.
    """
    expansion = _Expansion(limit, marks)
    try:
        text = orjson.dumps(value, default=expansion.spend, option=OPTIONS)
    except orjson.JSONEncodeError:
        if expansion.fault is not None:
            raise expansion.fault from None
        raise
    if len(text) > limit:
        raise TooLarge
    return text
