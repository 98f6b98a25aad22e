"""Blueprints that are kept, for tests: documents, who registers them, a short way to."""

from typing import Any

from blueprints.models import BlueprintVersion
from blueprints.services.blueprints import Actor, blueprint_register
from engine.blueprint_store import Content

ADA = Actor("Ada Lovelace", "ada@example.org")
BOB = Actor("Bob", "bob@example.org", key="sk_bob")


def document(text: str = "Hello", *, id: str = "mail", **more: Any) -> dict[str, Any]:
    """Return a small document that compiles; `text` tells versions apart."""
    step = {
        "kind": "step",
        "ref": "writer",
        "in": {"op": "lit", "value": text},
        "out": {"op": "path", "at": "$.a"},
    }
    agent = {"name": "writer", "kind": "lua", "spec": {"source": "return 1\n"}}
    return {"id": id, "flow": step, "agents": [agent], **more}


def with_error(text: str = "Hello") -> dict[str, Any]:
    """Return a document of the right shape whose step names an agent it lacks."""
    broken = document(text)
    broken["flow"]["ref"] = "nobody"
    return broken


def register(text: str = "Hello", *, id: str = "mail", **more: Any) -> BlueprintVersion:
    """Register a document by its text and return the head."""
    content = Content(document(text, id=id))
    given = {"actor": ADA, "message": f"Say {text}", **more}
    return blueprint_register(id, content, **given).version
