"""Blueprints in files, with an agent in Markdown to refer to."""

import json
from pathlib import Path
from typing import Any

from blueprints.loaders.blueprint import load_blueprint

AGENT = "---\nname: critic\nmodel: small\n---\nBe short.\n"


def loaded(base: Path, document: Any, **more: Any) -> Any:
    """Write a document into a folder and load it."""
    path = base / "a.json"
    path.write_text(json.dumps(document))
    return load_blueprint(path, **more).document
