"""Documents for tests of the API, and the routes that keep them."""

from typing import Any


def a_document(id: str = "demo", *, steps: int = 1, **more: Any) -> dict[str, Any]:
    """Return a small Blueprint without findings."""
    return {
        "schema_version": "0.1.0",
        "id": id,
        "dialect": "swarm",
        "flow": {
            "kind": "seq",
            "children": [
                {
                    "kind": "step",
                    "name": f"step {number}",
                    "agent": "greet",
                    "in": "$.name",
                    "out": f"$.greeting{number}",
                }
                for number in range(steps)
            ],
        },
        "agents": [{"name": "greet", "kind": "lua", "spec": {"source": "return 1"}}],
        "default_init_ctx": {"name": "Ann"},
        **more,
    }


def with_errors(id: str = "demo") -> dict[str, Any]:
    """Return a Blueprint whose step names no agent."""
    document = a_document(id)
    document["flow"]["children"][0]["agent"] = "gret"
    return document


def a_script(id: str = "demo") -> str:
    """Return a script whose document has its parameter `n` in its first Ctx."""
    return f"""return {{
        schema_version = "0.1.0", id = "{id}", dialect = "swarm",
        flow = {{kind = "step", agent = "greet", ["in"] = "$.n", out = "$.greeting"}},
        agents = {{{{name = "greet", kind = "lua", spec = {{source = "return 1"}}}}}},
        default_init_ctx = {{n = _CTX.n}},
    }}"""
