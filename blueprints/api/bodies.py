"""Bodies of requests: strict JSON or a source, and not more of it than a route takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, ClassVar, Final

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from blueprints.api.problems import Problem
from blueprints.loaders.bundle import LARGEST
from blueprints.loaders.files import MAX_BYTES
from blueprints.loaders.lua_script import SCRIPT
from engine.flow import JsonTextError, load_json
from engine.flow.json_text import Json

JSON: Final = ".json"
IDENTITY: Final = "identity"
PLAIN: Final = "Send it as it is, without Content-Encoding."


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body as it was sent; `form` is the ending of a file with such content."""

    content: bytes
    form: str


def too_large(most: int) -> Problem:
    """Return the problem about a body of more than `most` bytes."""
    return Problem("body-too-large", f"The body has more than {most} bytes.")


class _Parser(BaseParser):
    longest: ClassVar[int] = MAX_BYTES

    def read(self, stream: IO[bytes], context: Mapping[str, Any] | None) -> bytes:
        """Return the body; raises Problem before it reads one that is too large."""
        headers = (context or {})["request"].headers
        if (coding := headers.get("Content-Encoding", IDENTITY).lower()) != IDENTITY:
            raise Problem("media-type", f"The body is encoded ({coding}).", hint=PLAIN)
        # The header may be absent, or lie.
        text = str(headers.get("Content-Length") or "")
        if text.isascii() and text.isdecimal() and int(text) > self.longest:
            raise too_large(self.longest)
        body = stream.read(self.longest + 1)
        if len(body) > self.longest:
            raise too_large(self.longest)
        return body


class StrictJsonParser(_Parser):
    """Reads bodies as the loaders read files: repeated keys and NaN are errors."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Json:
        """Return the value of the body."""
        try:
            return load_json(self.read(stream, parser_context))
        except JsonTextError as error:
            raise ParseError(f"The body is not strict JSON: {error}.") from None


class _RawParser(_Parser):
    form: ClassVar[str] = JSON

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> RawBody:
        """Return the body as it is."""
        return RawBody(self.read(stream, parser_context), self.form)


class JsonDocumentParser(_RawParser):
    """Takes a document, which its reader parses."""

    media_type = "application/json"


class YamlParser(_RawParser):
    """Takes a document that is written in YAML."""

    media_type = "application/yaml"
    form = ".yaml"


class LuaParser(_RawParser):
    """Takes a script of the Lua DSL."""

    media_type = "text/x-lua"
    form = SCRIPT


class ZipParser(_RawParser):
    """Takes a bundle."""

    media_type = "application/zip"
    form = ".zip"
    longest = LARGEST


DOCUMENTS: Final = [JsonDocumentParser, YamlParser, LuaParser]


def raw_body(value: Any) -> RawBody:
    """Return the body that one of the parsers has read; raises Problem for none."""
    if not isinstance(value, RawBody):
        raise Problem("not-json", "The request has no body.")
    return value
