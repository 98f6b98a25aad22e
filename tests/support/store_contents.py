"""Documents and authors for tests of the stores of Blueprints."""

from typing import Any

from engine.blueprint_store import Author, Content

ADA = Author("Ada Lovelace", "ada@example.org")
BOB = Author("Bob", "bob@example.org")


def document(id: str = "mail", text: str = "Hello") -> dict[str, Any]:
    """Return a small complete document."""
    return {
        "schema_version": "0.1.0",
        "id": id,
        "flow": {
            "kind": "seq",
            "children": [
                {"kind": "step", "ref": "writer", "in": {"lit": text}, "out": "$.a"}
            ],
        },
        "agents": [
            {
                "name": "writer",
                "kind": "agent_block",
                "profile": {"system_prompt": f"Write {text}.\n", "model": "small"},
            },
            {"name": "checker", "kind": "lua", "spec": {"source": "return 1\n"}},
        ],
    }


def content(id: str = "mail", text: str = "Hello") -> Content:
    """Return a document without a source."""
    return Content(document(id, text))


def long_document(steps: int, text: str, id: str = "long") -> dict[str, Any]:
    """Return a document with many steps, of which `text` changes one."""
    children = [
        {
            "kind": "step",
            "name": f"step {number}",
            "ref": f"agent_{number % 20}",
            "in": {"lit": text if number == steps // 2 else f"work {number}"},
            "out": f"$.results.step_{number}",
        }
        for number in range(steps)
    ]
    agents = [
        {"name": f"agent_{number}", "kind": "lua", "spec": {"source": "return 1\n"}}
        for number in range(20)
    ]
    flow = {"kind": "seq", "children": children}
    return {"schema_version": "0.1.0", "id": id, "flow": flow, "agents": agents}
