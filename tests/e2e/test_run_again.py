"""`manage.py runs rerun` and `fork`, with real workers."""

import json

import pytest
from command_shell import Shell

pytestmark = pytest.mark.slow


def test_a_run_is_run_again_and_forked_on_a_fleet(shell: Shell):
    sample = "blueprints/samples/lua-words.json"
    functions = {"SWARM_AGENT_MODULES": "blueprints.samples.functions"}
    assert (
        shell.run("run", sample, "--set", "top=3", "--keep-workers", **functions) == 0
    )
    first = json.loads(shell.out)
    assert shell.run("runs", "list", "--json") == 0
    [row] = json.loads(shell.out)["items"]
    try:
        assert shell.run("runs", "rerun", row["run"], "--json", **functions) == 0, (
            shell.err
        )
        begun = json.loads(shell.out)
        assert (begun["run"], begun["generation"]) == (row["run"], 2)
        assert shell.run("runs", "watch", row["run"], **functions) == 0, shell.err
        assert json.loads(shell.out) == first

        begin = ("--from", "rank", "--set", "top=2", "--json")
        assert shell.run("runs", "fork", row["run"], *begin, **functions) == 0, (
            shell.err
        )
        forked = json.loads(shell.out)["run"]
        assert forked != row["run"]
        assert shell.run("runs", "watch", forked, **functions) == 0, shell.err
        assert json.loads(shell.out)["result"]["words"] == first["result"]["words"]
        # Nothing begins where nothing has been.
        assert shell.run("runs", "rerun", forked, "--from", "nowhere") == 2
        assert "has no step 'nowhere' that has begun" in shell.err
    finally:
        shell.run("up", "--stop")
