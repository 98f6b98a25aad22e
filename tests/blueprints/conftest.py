"""What tests of the blueprints floor share."""

import pytest

from engine.blueprint import Program, compile_blueprint


@pytest.fixture
def program() -> Program:
    """A one-step program with a default initial Ctx and no deadline of its own."""
    path = {"op": "path", "at": "$.name"}
    return compile_blueprint(
        {
            "id": "hello",
            "flow": {"kind": "step", "ref": "greet", "in": path, "out": path},
            "agents": [{"name": "greet", "kind": "python_fn", "spec": {"fn_id": "f"}}],
            "default_init_ctx": {"name": "you", "loud": False},
        },
        kinds=["python_fn"],
    )
