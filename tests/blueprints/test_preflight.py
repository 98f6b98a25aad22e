"""Findings of an installation about a document, and findings that do not depend on it."""

from typing import Any

from django.conf import settings as configured

from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.cascade import SAMPLES
from blueprints.preflight import compile_here


def test_the_program_is_the_same_whatever_the_settings(settings: Any) -> None:
    documents = [
        load_blueprint(SAMPLES / name).document
        for name in ("unreliable.json", "repo-digest.json", "two-programs.json")
    ]
    before = [compile_here(document).program_id for document in documents]

    changed = 0
    for name in [name for name in dir(configured) if name.startswith("SWARM_")]:
        value = getattr(configured, name)
        if type(value) in (int, float):
            setattr(settings, name, value + 1)
            changed += 1

    assert changed > 10
    assert [compile_here(document).program_id for document in documents] == before
