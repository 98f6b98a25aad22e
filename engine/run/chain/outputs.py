"""What is too large for the Ctx: it goes to the store of outputs, and a reference stays.

The engine and a replay use the same code, so that both write the same edit lines.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict

import orjson
from cachetools import LRUCache

from engine.flow.json_text import Json, JsonValue, dump_compact, text_depth
from engine.flow.offloaded import Offloaded
from engine.flow.shortened import shortened
from engine.output_store import OutputMissing, OutputStore, name_of
from engine.run.chain.ctx import OPTIONS, Lanes, Marks

NEVER: Final = 1 << 62
"""The inline limit of a run whose values all stay in its Ctx."""
LEVELS: Final = 3
"""How many containers inside each other are searched for parts that alone are too large."""
PREVIEW: Final = 100
"""The characters of a preview."""
ENTRY_BYTES: Final = 512


OutputRef = dict[str, Any]
"""A reference to a content: `id`, `sha256`, `size` (bytes), `depth` and `preview`."""

_REF: Final = {"id": str, "sha256": str, "size": int, "depth": int, "preview": str}


def is_output_ref(value: Any) -> bool:
    """Return whether a value has the fields of a reference; it need not be one."""
    return isinstance(value, dict) and all(
        type(value.get(name)) is kind for name, kind in _REF.items()
    )


def output_owner(key: str, addr: str, seq: int) -> str:
    """Return the name of a transition for the ids of its outputs."""
    return f"{key}/{addr}/{seq}"


class NoContents:
    """The contents of a process without a store of outputs."""

    def load(self, one: Offloaded) -> Json:
        """Raise OutputMissing."""
        raise OutputMissing(f"there is no store of outputs here to read {one.sha256}")

    def text(self, one: Offloaded) -> bytes:
        """Raise OutputMissing."""
        raise OutputMissing(f"there is no store of outputs here to read {one.sha256}")


NO_CONTENTS: Final = NoContents()


class Outputs:
    """The contents of one process: puts, and loads with a cache."""

    def __init__(
        self, store: OutputStore, limit: int, cache_bytes: int = 16 << 20
    ) -> None:
        """Keep values elsewhere whose JSON text has more than `limit` bytes."""
        self.limit = limit
        self._store = store
        self._cache: LRUCache[str, tuple[Json, int]] = LRUCache(
            cache_bytes, getsizeof=lambda entry: entry[1] + ENTRY_BYTES
        )

    def load(self, one: Offloaded) -> Json:
        """Return a content, which nobody changes; raises OutputMissing, OutputsAway."""
        found = self._cache.get(one.sha256)
        if found is None:
            text = self._store.get(one.sha256)
            found = (orjson.loads(text), len(text))
            self._remember(one.sha256, found)
        return found[0]

    def text(self, one: Offloaded) -> bytes:
        """Return the JSON text of a content; raises OutputMissing, OutputsAway."""
        found = self._cache.get(one.sha256)
        return self._store.get(one.sha256) if found is None else orjson.dumps(found[0])

    def put(self, text: bytes, value: Json) -> None:
        """Put a content into the store; raises OutputsAway."""
        self._remember(self._store.put(text), (value, len(text)))

    def _remember(self, sha256: str, entry: tuple[Json, int]) -> None:
        if entry[1] + ENTRY_BYTES <= self._cache.maxsize:
            self._cache[sha256] = entry


class Noted(TypedDict, total=False):
    """What the journal entry of a transition has of its outputs."""

    mark: str
    outputs: Sequence[OutputRef]


class Shelf:
    """What one transition keeps elsewhere; `taken` are the references of its contents.

    `name` returns the name of the transition, from which the ids of outputs are made, so
    that a replay makes the same.
    """

    __slots__ = ("_mark", "limit", "name", "outputs", "taken")

    def __init__(self, outputs: Outputs, name: Callable[[], str]) -> None:
        """Start a transition."""
        self.outputs = outputs
        self.limit = outputs.limit
        self.name = name
        self.taken: list[OutputRef] = []
        self._mark = ""

    @property
    def mark(self) -> str:
        """The mark of the references in the transition's journal entry.

        It is random: no agent can have written it.
        """
        self._mark = self._mark or secrets.token_hex(8)
        return self._mark

    def clear(self) -> None:
        """Begin the next transition."""
        self.taken, self._mark = [], ""

    def kept(self, value: Json, *, is_ctx: bool = False) -> Json:
        """Return a value with what is too large kept elsewhere, or the value itself.

        Of a container whose parts alone are too large, those parts go. An object that is
        the whole Ctx stays. Raises OutputsAway.
        """
        kept, puts = self._plan(value, LEVELS, may_go=not is_ctx)
        for one, text, content in puts:
            self.outputs.put(text, content)
            self.taken.append(one.ref)
        return kept

    def kept_json(self, json: JsonValue) -> JsonValue:
        """Return the result of an agent with what is too large kept elsewhere."""
        value = self.kept(json.value)
        if value is json.value:
            return json
        marks = Marks(self.mark)
        text = orjson.dumps(value, default=marks.refer, option=OPTIONS)
        return JsonValue(value, text, json.depth, self.mark)

    def _plan(
        self, value: Json, levels: int, *, may_go: bool = True
    ) -> tuple[Json, list[tuple[Offloaded, bytes, Json]]]:
        """Return a value with references, and the contents that they need."""
        if not isinstance(value, str | list | dict) or isinstance(value, Lanes):
            return value, []
        text: bytes | None = None
        # What has joins or references inside can't be a content.
        with contextlib.suppress(orjson.JSONEncodeError):
            text = orjson.dumps(value, option=OPTIONS)
        if text is not None and len(text) <= self.limit:
            return value, []
        made, puts = self._plan_parts(value, levels)
        goes = text is not None and (may_go or not isinstance(value, dict))
        if puts and (not goes or self._stored_size(made) <= self.limit):
            return made, puts
        if text is None or not goes:
            return value, []
        one = self._reference(text, value)
        return one, [(one, text, value)]

    def _plan_parts(
        self, value: Json, levels: int
    ) -> tuple[Json, list[tuple[Offloaded, bytes, Json]]]:
        puts: list[tuple[Offloaded, bytes, Json]] = []
        if not levels or isinstance(value, str):
            return value, puts

        def plan(part: Json) -> Json:
            made, more = self._plan(part, levels - 1)
            puts.extend(more)
            return made

        if isinstance(value, dict):
            return {key: plan(part) for key, part in value.items()}, puts
        return [plan(part) for part in value], puts

    def _stored_size(self, value: Json) -> int:
        return len(orjson.dumps(value, default=Marks().refer, option=OPTIONS))

    def _reference(self, text: bytes, value: Json) -> Offloaded:
        return Offloaded(reference(self.name(), text, value), self.outputs)


def reference(owner: str, text: bytes, value: Json) -> OutputRef:
    """Return the reference to a content that a transition, the owner, has made."""
    sha256 = name_of(text)
    made = hashlib.blake2b(f"{owner}/{sha256}".encode(), digest_size=16)
    return {
        "id": f"out-{made.hexdigest()}",
        "sha256": sha256,
        "size": len(text),
        "depth": text_depth(text, exact=True),
        "preview": preview(value),
    }


def noted(shelf: Shelf | None) -> Noted:
    """Return what the entry of a transition says about what it kept elsewhere."""
    if shelf is None or not shelf.taken:
        return {}
    return {"mark": shelf.mark, "outputs": shelf.taken}


def preview(value: Json) -> str:
    """Return the beginning of a value as JSON text, with what is left out counted."""
    text = dump_compact(shortened(value))
    return text if len(text) <= PREVIEW else f"{text[: PREVIEW - 1]}…"
