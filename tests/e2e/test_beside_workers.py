"""What `run` and `runs` do beside workers that are running, and where the result goes."""

import json
import subprocess
import sys

import pytest
from command_shell import REPO, Shell, naps

pytestmark = pytest.mark.slow


def test_watch_follows_a_run_of_other_workers_and_prints_its_result(kept: Shell):
    file = kept.write(naps(0, 4), default_init_ctx={})
    launched = subprocess.Popen(
        kept.line("run", file),
        cwd=REPO,
        env=kept.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    before = len(kept.calls())
    kept.until(lambda: len(kept.calls()) >= before + 2)
    assert kept.run("runs", "watch", "latest", "--json") == 0, kept.err
    got = json.loads(kept.out)
    assert (got["status"], got["ctx"]["nap1"]) == ("done", "/children/1")
    assert launched.wait(30) == 0

    # An ended run is shown at once.
    assert kept.run("runs", "watch", got["run"]) == 0
    assert json.loads(kept.out)["nap1"] == "/children/1"
    assert "it has ended already" in kept.err


def test_own_workers_do_the_steps_beside_those_that_run(kept: Shell):
    file = kept.write(naps(0), default_init_ctx={})
    assert kept.run("run", file) == 0, kept.err
    assert "The workers of up-" in kept.err
    logs = set(kept.var.glob("log/worker-run-*.log"))

    assert kept.run("run", file, "--own-workers") == 0, kept.err
    assert "The workers of up-" not in kept.err
    [own] = set(kept.var.glob("log/worker-run-*.log")) - logs
    assert own.name not in "".join(kept.workers())


def test_quiet_leaves_nothing_but_the_result_and_o_puts_it_into_a_file(kept: Shell):
    file = kept.write(naps(0), default_init_ctx={})
    assert kept.run("run", file, "--quiet") == 0
    assert json.loads(kept.out) == {"nap0": "/children/0"}
    assert kept.err == ""

    result = kept.var / "result.json"
    assert kept.run("run", file, "-o", result) == 0
    assert kept.out == ""
    assert "done: 1 step" in kept.err
    assert json.loads(result.read_text())["nap0"] == "/children/0"
    assert kept.run("run", file, "-o", kept.var) == 2
    assert "expected the path of a file" in kept.err


def test_a_reader_that_has_enough_ends_lists_and_logs_quietly(kept: Shell):
    talk = {
        "kind": "step",
        "ref": "talk",
        "in": {"op": "lit", "value": 0},
        "out": {"op": "path", "at": "$.x"},
    }
    flow = {"kind": "seq", "children": [talk] * 40}
    assert kept.run("run", kept.write(flow)) == 0, kept.err
    for words in (["list"], ["logs", "latest"], ["logs", "latest", "-f"]):
        shell = subprocess.run(
            f"set -o pipefail; {sys.executable} manage.py runs {' '.join(words)} | head -1",
            shell=True,
            executable="/bin/bash",
            cwd=REPO,
            env=kept.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (shell.returncode, shell.stderr) == (0, ""), words
        assert shell.stdout.count("\n") == 1
