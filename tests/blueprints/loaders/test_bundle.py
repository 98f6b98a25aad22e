"""Tests of blueprints/loaders/bundle.py."""

import contextlib
import io
import json
import zipfile

import pytest

from blueprints.loaders.bundle import LARGEST, Bundle, bundle_bytes, read_bundle
from blueprints.loaders.documents import DocumentInvalid
from engine.blueprint_store import Content, Source

DOCUMENT = {"id": "b", "flow": {"lit": {"$file": "data"}}}
BUNDLE = Bundle(
    "b", Content(DOCUMENT, Source(".yaml", "id: b\n", {"a": 1})), "1.0.0", "x\ny"
)


def zipped(parts: dict[str, bytes], *, level: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", level) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def parts(**changes: object) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle_bytes(BUNDLE))) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(found["version.json"]) | changes
    return {**found, "version.json": json.dumps(manifest).encode()}


def without(field: str) -> dict[str, bytes]:
    found = parts()
    manifest = json.loads(found["version.json"])
    del manifest[field]
    return {**found, "version.json": json.dumps(manifest).encode()}


def test_a_bundle_is_read_as_it_was_written():
    assert read_bundle(bundle_bytes(BUNDLE)) == BUNDLE
    assert bundle_bytes(BUNDLE) == bundle_bytes(BUNDLE)
    plain = Bundle("b", Content(DOCUMENT), None, "x")
    assert read_bundle(bundle_bytes(plain)) == plain


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (b"", "no zip file"),
        (b"PK\x05\x06" + b"\0" * 18, "expected a file 'version.json'"),
        (zipped({"blueprint.json": b"{}"}), "expected a file 'version.json'"),
        (zipped({"../blueprint.json": b"{}"}), "'../blueprint.json'"),
        (zipped({**parts(), "/etc/passwd": b""}), "'/etc/passwd'"),
        (zipped({**parts(), "source.py": b""}), "'source.py'"),
        (zipped({**parts(), "blueprint.json": b'{"id": 1}'}), "another document"),
        (zipped({**parts(), "blueprint.json": b'{"a": {"$file": "x"}}'}), "blueprint build"),
        (zipped({**parts(), "version.json": b"[]"}), "not what an export writes"),
        (zipped(parts(source={"form": ".py", "parameters": {}})), "not what an export"),
        (zipped(parts(id=1)), "not what an export writes"),
        (zipped(without("version")), "not what an export writes"),
        (zipped(without("label")), "not what an export writes"),
        (zipped(parts(), level=zipfile.ZIP_BZIP2), "neither stored nor deflated"),
        (zipped(parts(), level=zipfile.ZIP_LZMA), "neither stored nor deflated"),
        (zipped({**parts(), "source.yaml": b"\xff"}), "not what an export writes"),
        (zipped({**parts(), "blueprint.json": b" " * 50_000_000}), "longer than"),
        (b"x" * (LARGEST + 1), "longer than"),
    ],
)  # fmt: skip
def test_another_file_is_refused(given, rule):
    with pytest.raises(DocumentInvalid, match=rule):
        read_bundle(given)


def test_a_file_that_is_there_twice_is_refused():
    file = io.BytesIO(zipped(parts()))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Dup"):
        archive.writestr("blueprint.json", b"{}")
    with pytest.raises(DocumentInvalid, match="at most once"):
        read_bundle(file.getvalue())


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_a_damaged_bundle_is_read_whole_or_refused(at):
    given = bytearray(bundle_bytes(BUNDLE))
    given[at % len(given)] ^= 0xFF
    with contextlib.suppress(DocumentInvalid):
        assert read_bundle(bytes(given)).content.document == DOCUMENT
