"""A Blueprint in YAML, in Lua and in Python is one program."""

import importlib.util
from pathlib import Path

import pytest

from blueprints.loaders.blueprint import load_blueprint
from engine.blueprint import compile_blueprint

CASES = Path(__file__).resolve().parents[1] / "cases" / "three_forms"
NAMES = sorted(path.name for path in CASES.iterdir())


def built(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.blueprint.document


@pytest.mark.parametrize("name", NAMES)
def test_the_three_forms_are_one_program(name):
    file = CASES / name / name
    documents = {
        "yaml": load_blueprint(file.with_suffix(".yaml")).document,
        "lua": load_blueprint(file.with_suffix(".bp.lua")).document,
        "python": built(file.with_suffix(".py")),
    }
    programs = {
        form: compile_blueprint(document).to_json()
        for form, document in documents.items()
    }

    assert programs["python"] == programs["yaml"]
    assert programs["lua"] == programs["yaml"]
    assert len({compile_blueprint(one).program_id for one in documents.values()}) == 1
