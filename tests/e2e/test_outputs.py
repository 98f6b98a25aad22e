"""Large values of a run from the shell: kept elsewhere, listed, printed, and the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_shell import Shell

pytestmark = pytest.mark.slow

LARGE = ["a page of a book, "] * 2_000


def path(at: str) -> dict[str, Any]:
    return {"op": "path", "at": at}


def copies(shell: Shell) -> Path:
    """Write a Blueprint that reads a large value, passes it on and counts it."""
    flow = {
        "kind": "seq",
        "children": [
            {
                "kind": "step",
                "ref": "copy",
                "in": path("$.book"),
                "out": path("$.copy"),
            },
            {
                "kind": "assign",
                "at": path("$.pages"),
                "value": {"op": "len", "arg": path("$.copy")},
            },
            {"kind": "step", "ref": "copy", "in": path("$.pages"), "out": path("$.n")},
        ],
    }
    copy = {"name": "copy", "kind": "python_fn", "spec": {"fn_id": "identity"}}
    return shell.write(flow, agents=[copy], default_init_ctx={"book": LARGE})


def test_a_run_gives_the_same_whatever_is_kept_elsewhere(shell: Shell) -> None:
    results = []
    for limit in ("100000000", "16384", "0"):
        kept = {"SWARM_INLINE_LIMIT": limit}
        assert shell.run("run", copies(shell), **kept) == 0, shell.err
        results.append(json.loads(shell.out))
        assert shell.run("runs", "replay", "latest", "--json") == 0, shell.err
        report = json.loads(shell.out)
        assert (report["difference"], report["ctx"]) == (None, results[0])

    assert results[0]["book"] == LARGE
    assert results[0] == results[1] == results[2]


def test_outputs_are_listed_and_printed(shell: Shell) -> None:
    assert shell.run("run", copies(shell), "--json") == 0, shell.err
    run = json.loads(shell.out)["run"]

    assert shell.run("runs", "outputs", "latest") == 0, shell.err
    value, final, count, advice = shell.out.splitlines()
    assert value.split()[1] == "value"
    assert "  final  copy" in final or "  final  /children/0" in final
    assert count == f"2 outputs of run {run}"
    assert advice == f"Print one with: python manage.py runs outputs {run} OUTPUT"
    assert shell.run("runs", "outputs", "latest", value.split()[0]) == 0, shell.err
    assert json.loads(shell.out) == LARGE

    assert shell.run("runs", "delete", run) == 0, shell.err
    assert shell.run("doctor", "--json") in (0, 1), shell.err
    found = {one["name"]: one for one in json.loads(shell.out)["findings"]}
    assert found["outputs"]["level"] == "ok"
    assert "this host sees them" in found["outputs"]["text"]
