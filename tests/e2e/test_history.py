"""The history of a run from the shell: checked, exported, deleted."""

import json

import pytest
from command_shell import Shell, naps

pytestmark = pytest.mark.slow


def test_a_run_is_checked_exported_and_deleted_from_the_shell(shell: Shell):
    assert shell.run("run", shell.write(naps(0, 0)), "--json") == 0, shell.err
    run = json.loads(shell.out)["run"]

    assert shell.run("journal", "verify", "latest") == 0, shell.err
    assert f"{run}: the hash of the last entry is " in shell.out
    assert shell.out.splitlines()[-1].startswith("1 run, ")
    file = shell.var / "run.jsonl"
    assert shell.run("runs", "export", run, "-o", str(file)) == 0, shell.err
    assert shell.run("journal", "verify", "--file", str(file), "--json") == 0
    report = json.loads(shell.out)
    assert (report["run"], report["ok"], report["gaps"]) == (run, True, [])

    assert shell.run("runs", "prune", "--dry-run") == 0, shell.err
    assert shell.out == "0 runs ended more than 90 days ago\n"
    assert shell.run("runs", "delete", run, "--json") == 0, shell.err
    assert json.loads(shell.out) == {"run": run, "status": "done"}
    assert shell.run("runs", "show", run) == 2
    assert f"run {run} was deleted on " in shell.err
    # The file is whole by itself.
    assert shell.run("journal", "verify", "--file", str(file)) == 0, shell.err
    file.write_bytes(file.read_bytes()[:-50])
    assert shell.run("journal", "verify", "--file", str(file)) == 2
