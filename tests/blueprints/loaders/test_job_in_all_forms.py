"""One job written in each form of a source: the same program."""

from pathlib import Path

import pytest
from django.test import override_settings

from blueprints.loaders.blueprint import load_blueprint
from engine.blueprint import compile_blueprint

JOB = Path(__file__).resolve().parents[2] / "cases/job"
FORMS = ("text.yaml", "trees.yaml", "job.bp.lua", "job.py")


@pytest.fixture(scope="module")
def program_ids() -> dict[str, str]:
    # A Python file is imported from its project's folder.
    with override_settings(SWARM_PROJECT_DIR=JOB):
        documents = {form: load_blueprint(JOB / form).document for form in FORMS}
    return {form: compile_blueprint(one).program_id for form, one in documents.items()}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_the_same_program(form: str, program_ids: dict[str, str]) -> None:
    assert program_ids[form] == program_ids["text.yaml"]


def test_text_is_at_most_half_as_long_as_trees() -> None:
    text, trees = ((JOB / form).stat().st_size for form in FORMS[:2])
    print(f"text {text} bytes, trees {trees} bytes")
    assert text <= trees / 2
