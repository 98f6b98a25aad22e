"""`run` tells what of a Blueprint has no effect yet."""

import io
import json
from pathlib import Path
from typing import Any

from blueprints.loaders.blueprint import load_blueprint
from workers.management.commands.run import tell_in_vain
from workers.session import Session


def told(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document))
    err = io.StringIO()
    session = Session(
        out=io.StringIO(), err=err, as_json=False, keep=False, concurrency=2
    )
    tell_in_vain(session, load_blueprint(path))
    return err.getvalue()


def test_run_tells_what_has_no_effect_yet_unless_it_is_allowed(tmp_path: Path) -> None:
    agent = {
        "name": "a",
        "kind": "python_fn",
        "spec": {"fn_id": "identity"},
        "verdict": {"channel": "body", "values": ["YES", "NO"]},
    }
    document: Any = {"id": "b", "flow": {"kind": "seq", "children": []}}
    document |= {"agents": [agent], "check_policy": "warn"}
    path = tmp_path / "b.json"

    text = told(path, document)
    assert "$.agents[0].verdict: warning: 'verdict' has no effect yet" in text
    assert "$.check_policy: warning: 'check_policy' has no effect yet" in text
    assert text.count("[not-in-effect-yet]") == 2

    agent["lints"] = {"not-in-effect-yet": "allow"}
    assert "verdict" not in told(path, document)
    del document["check_policy"]
    assert told(path, document) == ""
