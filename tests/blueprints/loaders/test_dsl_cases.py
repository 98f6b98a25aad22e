"""Scripts in the DSL give exactly the documents beside them."""

import json
from pathlib import Path

import pytest

from blueprints.loaders.blueprint import load_blueprint
from engine.flow.json_text import dump_compact

CASES = Path(__file__).resolve().parents[2] / "cases" / "dsl"
SCRIPTS = sorted(CASES.glob("*.bp.lua"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_a_script_gives_the_document_beside_it(script):
    stem = script.name.removesuffix(".bp.lua")
    given = CASES / f"{stem}.ctx.json"
    params = json.loads(given.read_text()) if given.exists() else None
    loaded = load_blueprint(script, params=params)
    expected = json.loads((CASES / f"{stem}.json").read_text())

    # As text, since 1, 1.0 and true are equal in Python.
    assert dump_compact(loaded.document) == dump_compact(expected)
    assert loaded.warnings == ()


def test_no_case_is_left_out():
    stems = {path.name.removesuffix(".bp.lua") for path in SCRIPTS}
    written = {path.stem for path in CASES.glob("*.json")}
    written = {stem for stem in written if not stem.endswith(".ctx")}

    assert stems == written
    assert len(stems) >= 11
