"""A terminal for the verbs of `manage.py blueprint`, and documents to give them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flow_documents
import pytest
from django.core.management import call_command
from flow_documents import lit


@dataclass(frozen=True)
class Told:
    """The output of a verb and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)


Say = Callable[..., Told]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a verb to its exit."""

    def run(*words: object) -> Told:
        with pytest.raises(SystemExit) as ended:
            call_command("blueprint", *map(str, words))
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return Told(int(ended.value.code or 0), printed.out, printed.err)

    return run


def step(ref: str, value: object = 1, out: str = "$.x") -> dict[str, Any]:
    """Returns a step with a literal input."""
    return flow_documents.step(ref, lit(value), out)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a Blueprint of one identity agent; keywords replace its fields."""

    def make(name: str = "b.json", **more: Any) -> Path:
        agent = {"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}
        document = {
            "schema_version": "0.1.0",
            "id": "b",
            "flow": step("a"),
            "agents": [agent],
            **more,
        }
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return make


@pytest.fixture
def make_step() -> Callable[..., dict[str, Any]]:
    """The maker of steps."""
    return step
