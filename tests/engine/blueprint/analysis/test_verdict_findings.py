"""Suggestions of the findings about verdicts, and findings that they replace."""

import json
from pathlib import Path

from engine.blueprint import lint_blueprint
from engine.blueprint.findings.diagnostics import resolve_place

CASES = Path(__file__).resolve().parents[3] / "cases" / "blueprints"


def test_a_misspelt_verdict_suggests_the_nearest_at_its_place() -> None:
    text = (CASES / "verdict-value-not-in-contract" / "fail.json").read_text()
    document = json.loads(text)
    found = lint_blueprint(document).diagnostics[0]
    assert found.kind == "verdict-value-not-in-contract"
    assert resolve_place(document, found.place) == "REJECTED"
    assert found.help == "did you mean 'REJECT'?"
    assert found.suggestion is not None
    assert json.loads(found.suggestion.patch) == "REJECT"


def test_a_suggestion_is_given_where_nothing_is_near() -> None:
    path = CASES / "verdict-value-not-in-contract" / "fail-both-arms.json"
    found = lint_blueprint(json.loads(path.read_text())).diagnostics[0]
    assert found.suggestion is not None
    assert json.loads(found.suggestion.patch) in ("NO", "OK", "PASS", "REJECT")
