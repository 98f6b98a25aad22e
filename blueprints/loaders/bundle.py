"""A bundle: one version of a Blueprint as a zip file, for another installation.

It is read in memory with limits on every part; nothing of it is extracted to disk.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Final

from blueprints.loaders.blueprint import embedded_text
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import MAX_BYTES
from blueprints.loaders.posted import FORMS, TOO_LARGE, posted_document
from engine.blueprint_store import Content, Source, version_of
from engine.flow import JsonTextError, load_json

DOCUMENT: Final = "blueprint.json"
MANIFEST: Final = "version.json"
SOURCES: Final = tuple(f"source{form}" for form in FORMS)
LARGEST: Final = 2 * MAX_BYTES
"""The most bytes of a bundle."""
# What a zip file says of a part that is neither a plain file nor readable without a key.
_ENCRYPTED: Final = 1
# zipfile expands a block of the other methods whole, however little is asked for.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A version as it was exported."""

    id: str
    content: Content
    label: str | None
    message: str


def bundle_bytes(bundle: Bundle) -> bytes:
    """Return the zip file of a version; the same version gives the same bytes."""
    source = bundle.content.source
    manifest = {
        "id": bundle.id,
        "version": bundle.content.version,
        "label": bundle.label,
        "message": bundle.message,
        "source": source and {"form": source.form, "parameters": source.parameters},
    }
    parts = {
        MANIFEST: json.dumps(manifest, ensure_ascii=False, indent=2) + "\n",
        DOCUMENT: embedded_text(bundle.content.document),
    }
    if source is not None:
        parts[f"source{source.form}"] = source.text
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text.encode())
    return file.getvalue()


class _FileMissing(KeyError):
    """A bundle lacks a file; the text names it."""


class _Parts(dict[str, bytes]):
    def __missing__(self, name: str) -> bytes:
        raise _FileMissing(name)


def read_bundle(given: bytes, name: str = "the bundle") -> Bundle:
    """Return the version in a zip file; raise DocumentInvalid."""
    if len(given) > LARGEST:
        rule = f"longer than {LARGEST} bytes (8 MiB)"
        raise DocumentInvalid(name, rule, code=TOO_LARGE)
    try:
        parts = _parts(given, name)
        manifest = load_json(parts[MANIFEST])
        document = posted_document(parts[DOCUMENT], f"{name}: {DOCUMENT}")
        bundle, version = _bundle(manifest, document, parts)
    except _FileMissing as error:
        rule = f"expected a file {error} in it"
        raise DocumentInvalid(name, rule, code="bundle") from None
    except (JsonTextError, KeyError, TypeError, UnicodeDecodeError):
        rule = f"its {MANIFEST} or source is not what an export writes"
        raise DocumentInvalid(name, rule, code="bundle") from None
    if version != version_of(document):
        rule = f"its {MANIFEST} is of another document than its {DOCUMENT}"
        raise DocumentInvalid(name, rule, code="bundle")
    return bundle


def _bundle(
    manifest: Any, document: Any, parts: dict[str, bytes]
) -> tuple[Bundle, Any]:
    """Return what was exported, and the version that its manifest names."""
    source, texts = None, (manifest["id"], manifest["message"], manifest["label"] or "")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError
    if manifest["source"] is not None:
        form, given = manifest["source"]["form"], manifest["source"]["parameters"]
        if form not in FORMS or not isinstance(given, dict):
            raise TypeError
        source = Source(form, parts[f"source{form}"].decode(), given)
    bundle = Bundle(texts[0], Content(document, source), texts[2] or None, texts[1])
    return bundle, manifest["version"]


def _parts(given: bytes, name: str) -> _Parts:
    """Return the parts by name: known ones, each once and of a bounded size."""
    known, found = (DOCUMENT, MANIFEST, *SOURCES), _Parts()
    try:
        with zipfile.ZipFile(io.BytesIO(given)) as archive:
            for part in archive.infolist():
                if part.filename not in known or part.filename in found:
                    rule = f"it has a file {part.filename!r}; expected each of {', '.join(known)} at most once"
                    raise DocumentInvalid(name, rule, code="bundle")
                if part.flag_bits & _ENCRYPTED:
                    rule = f"its file {part.filename!r} is encrypted"
                    raise DocumentInvalid(name, rule, code="bundle")
                if part.compress_type not in _METHODS:
                    rule = f"its file {part.filename!r} is neither stored nor deflated"
                    raise DocumentInvalid(name, rule, code="bundle")
                with archive.open(part) as file:
                    # The size in its head may be a lie, so that no more than this is read.
                    found[part.filename] = file.read(MAX_BYTES + 1)
                if len(found[part.filename]) > MAX_BYTES:
                    rule = f"its file {part.filename!r} is longer than {MAX_BYTES} bytes (4 MiB)"
                    raise DocumentInvalid(name, rule, code=TOO_LARGE)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        rule = f"it is no zip file that can be read: {error}"
        raise DocumentInvalid(name, rule, code="bundle") from None
    return found
