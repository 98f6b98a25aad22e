"""docs/lints.md equals the docstrings of the lints; its examples are parts of the cases."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.blueprint import lint_blueprint
from engine.blueprint.findings.diagnostics import PAGE
from engine.blueprint.lints import OUTSIDE, PAGES, REGISTRY, TABLE
from engine.blueprint.lints.lint_kind import LintKind, never
from engine.blueprint.lints.not_in_effect_yet import ROWS, not_in_effect_yet

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "cases" / "blueprints"
TEXT = (ROOT / PAGE).read_text()
SECTIONS = dict(
    re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
)
EXAMPLE = re.compile(r"^```json (bad|good)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


# What a section has besides its text: the table, the examples and how to allow it.
BESIDES = re.compile(
    r"^\|.*\|$|^Instead of$|^write$|^```json.*?^```$|^To allow it.*|^It is always an error.$",
    re.MULTILINE | re.DOTALL,
)


def words(text: str | None) -> str:
    return " ".join((text or "").split())


def test_the_page_has_every_kind_in_the_order_of_the_table() -> None:
    assert list(SECTIONS) == list(REGISTRY)


def test_the_page_has_every_family_with_its_title() -> None:
    titles = [inspect.getdoc(page).partition("\n")[0] for page in PAGES]  # type: ignore[union-attr]
    headings = re.findall(r"^## (.*)\n\n(.*)", TEXT, re.MULTILINE)
    shown = [f"{title}: {text[0].lower()}{text[1:]}" for title, text in headings]
    assert [title for title in shown if title in titles] == titles


def level_of(kind: LintKind) -> str:
    if not kind.suppressible:
        return "Error"
    own = kind.level.value
    return own if kind.error_if is never else f"Error or {own}"


@pytest.mark.parametrize("kind", REGISTRY.values(), ids=lambda kind: str(kind.name))
def test_a_section_names_level_category_and_how_to_allow_it(kind: LintKind) -> None:
    body = SECTIONS[kind.name]
    assert body.strip().startswith(f"{level_of(kind)}, {kind.category}. ")
    allowed = f'`"{kind.name}": "allow"`' in body
    assert allowed is kind.suppressible
    assert ("It is always an error." in body) is not kind.suppressible


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: str(kind.name))
def test_the_text_of_a_section_is_the_docstring_of_the_lint(kind: LintKind) -> None:
    text = words(BESIDES.sub("", SECTIONS[kind.name]))
    start = f"{level_of(kind)}, {kind.category}. "
    assert kind.check is not None
    assert text == start + words(kind.check.__doc__)


def holds(document: Any, part: Any) -> bool:
    """Return whether a part, perhaps an object with fewer fields, is in a document."""
    if same(document, part):
        return True
    below = document.values() if isinstance(document, dict) else document
    deeper = isinstance(document, dict | list)
    return deeper and any(holds(one, part) for one in below)


def same(value: Any, part: Any) -> bool:
    if isinstance(value, dict) and isinstance(part, dict):
        return all(key in value and same(value[key], part[key]) for key in part)
    # NaN is not equal to itself.
    return json.dumps(value) == json.dumps(part)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_examples_are_parts_of_the_cases(name: str) -> None:
    examples = EXAMPLE.findall(SECTIONS[name])
    if name in ("agent-md-size", "dsl-warning", *(kind.name for kind in OUTSIDE)):
        # A long prompt would show nothing; the others are not about the document.
        assert examples == []
        return
    assert [word for word, _ in examples] == ["bad", "good"]
    for word, text in examples:
        pattern = "fail*.json" if word == "bad" else "pass*.json"
        paths = [
            path
            for path in (CASES / name).glob(pattern)
            if not path.stem.endswith(".expected")
        ]
        part = json.loads(text)
        assert any(holds(json.loads(path.read_text()), part) for path in paths), word


def test_the_layers_of_the_page_do_what_it_describes() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    agent = {"name": "cat", "kind": "subprocess", "spec": {"program": "cat"}}
    document = {
        "id": "page",
        "flow": {"kind": "seq", "children": []},
        "agents": [agent],
        **json.loads(text),
    }
    report = lint_blueprint(document)
    assert report.diagnostics == ()
    assert [one.diagnostic.kind for one in report.suppressed] == ["missing-timeout"]


def test_the_page_has_every_row_of_what_has_no_effect_yet() -> None:
    rows = [
        f"| {', '.join(f'`{place}`' for place in row.at)} | {row.missing} | {row.instead} |"
        for row in ROWS
    ]
    body = SECTIONS[not_in_effect_yet.name]
    assert [line for line in body.splitlines() if line.startswith("| `")] == rows
