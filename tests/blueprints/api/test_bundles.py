"""Bundles: what is exported can be imported, and no zip file does harm."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from api_documents import a_document, a_script
from api_requests import with_key

DEMO = "/v1/blueprints/demo"
ZIP = {"content_type": "application/zip"}


@pytest.fixture
def ask() -> Any:
    return with_key()


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_an_exported_version_is_imported_with_its_source(ask, settings, tmp_path):
    made = ask("POST", f"{DEMO}?label=1.0.0", a_script(), content_type="text/x-lua")
    assert made.status_code == 201, made.content
    bundle = ask("GET", f"{DEMO}/export")
    assert (bundle.status_code, bundle["Content-Type"]) == (200, "application/zip")
    assert bundle["Content-Disposition"] == 'attachment; filename="demo-1.zip"'
    assert ask("GET", f"{DEMO}/export?version=1.0.0").content == bundle.content

    same = ask("POST", f"{DEMO}/import", bundle.content, **ZIP)
    assert (same.status_code, same.json()["version"]) == (200, made.json()["version"])
    ask("POST", DEMO, a_document(steps=2))
    back = ask("POST", f"{DEMO}/import", bundle.content, **ZIP)
    assert (back.status_code, back.json()["label"]) == (201, "1.0.0")
    source = ask("GET", f"{DEMO}/versions/latest").json()["source"]
    assert source["text"] == a_script()


def zipped(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"no zip", (400, "invalid-bundle")),
        (zipped(), (400, "invalid-bundle")),
        (zipped(**{"..__..__etc__passwd": b"x"}), (400, "invalid-bundle")),
        (zipped(version_json=b"{}", blueprint_json=b"{}"), (400, "invalid-bundle")),
        (zipped(blueprint_json=b" " * 50_000_000), (413, "body-too-large")),
        (b"\0" * (9 * 1024 * 1024), (413, "body-too-large")),
    ],
    ids=["no zip", "empty", "traversal", "no manifest", "bomb", "large"],
)
def test_a_bad_bundle_is_refused(ask, body, expected, tmp_path):
    before = set(Path(tmp_path).rglob("*"))
    assert code(ask("POST", f"{DEMO}/import", body, **ZIP)) == expected
    assert set(Path(tmp_path).rglob("*")) == before


def test_a_bundle_of_another_blueprint_is_refused(ask):
    ask("POST", DEMO, a_document())
    bundle = ask("GET", f"{DEMO}/export").content
    answer = ask("POST", "/v1/blueprints/other/import", bundle, **ZIP)
    assert code(answer) == (400, "invalid-request")
