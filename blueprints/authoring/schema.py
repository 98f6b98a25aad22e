"""`blueprint schema`: the shape of documents for editors and other programs."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from blueprints.authoring.answer import FINE, Answer
from blueprints.preflight import known_kinds
from engine.blueprint import json_schema

HELP: Final = "Print the JSON Schema of Blueprints, flow and expressions included."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare nothing: the schema is the same for every file."""


def answer(options: Mapping[str, Any]) -> Answer:
    """Return the schema."""
    schema = json_schema(known_kinds())
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return Answer(FINE, schema, text)
