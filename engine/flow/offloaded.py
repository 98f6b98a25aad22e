"""A value of the document that is kept elsewhere, because it is large.

Whatever looks into it loads it; whatever passes it on does not. No boolean, number or null
is kept elsewhere, so that only a text, an array or an object can be such a value.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

Json: TypeAlias = Any


class Contents(Protocol):
    """Loads contents, with a cache."""

    def load(self, one: Offloaded) -> Json:
        """Return a content, which nobody changes; raises errors that no flow catches."""

    def text(self, one: Offloaded) -> bytes:
        """Return the JSON text of a content; raises the same errors."""


class Offloaded:
    """The reference to a content, in the place of a value.

    `ref` is its stored form: id, sha256, size of the JSON text in bytes, exact depth, and
    a preview for people.
    """

    __slots__ = ("_contents", "ref")

    def __init__(self, ref: dict[str, Any], contents: Contents) -> None:
        self.ref = ref
        self._contents = contents

    @property
    def sha256(self) -> str:
        """The name of the content."""
        return str(self.ref["sha256"])

    @property
    def size(self) -> int:
        """The bytes of its JSON text."""
        return int(self.ref["size"])

    @property
    def depth(self) -> int:
        """How many of its containers are inside each other."""
        return int(self.ref["depth"])

    def load(self) -> Json:
        """Return the content, which nobody changes."""
        return self._contents.load(self)

    def text(self) -> bytes:
        """Return the JSON text of the content."""
        return self._contents.text(self)


def looked_into(value: Json) -> Json:
    """Return a value, loaded if it is kept elsewhere; its parts may be kept elsewhere."""
    return value.load() if type(value) is Offloaded else value


def loaded(value: Json) -> Json:
    """Return a value with all its parts loaded, shared as far as nothing was loaded."""
    if type(value) is Offloaded:
        return value.load()
    if isinstance(value, dict):
        made = {key: loaded(part) for key, part in value.items()}
        changed = any(made[key] is not part for key, part in value.items())
        return made if changed else value
    if isinstance(value, list):
        items = [loaded(part) for part in value]
        changed = any(a is not b for a, b in zip(items, value, strict=True))
        return items if changed else value
    return value
