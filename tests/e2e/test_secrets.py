"""A secret that `manage.py run` was started with, and a child of an agent; real processes."""

import json
import subprocess
import sys

import pytest
from command_shell import REPO, Shell

from workers.process.launcher import drop_peek_capabilities

pytestmark = pytest.mark.slow

CANARY = "canary-of-the-command"
CLIMBER = f"""
import json, os
pid, told = os.getppid(), []
while pid > 1:
    try:
        seen = {CANARY!r}.encode() in open(f"/proc/{{pid}}/environ", "rb").read()
    except OSError:
        seen = False
    line = open(f"/proc/{{pid}}/cmdline").read().replace(chr(0), " ")
    told.append([line, seen])
    pid = int(open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[1])
print(json.dumps(told))
"""


def test_a_child_finds_it_in_none_of_its_parents(shell: Shell):
    flow = {
        "kind": "step",
        "ref": "climb",
        "in": {"op": "lit", "value": None},
        "out": {"op": "path", "at": "$.told"},
    }
    spec = {"program": sys.executable, "args": ["-I", "-S", "-c", CLIMBER]}
    agents = [{"name": "climb", "kind": "subprocess", "spec": spec}]
    path = shell.write(flow, agents=agents)
    done = subprocess.run(
        [sys.executable, "manage.py", "run", str(path)],
        cwd=REPO,
        env={**shell.env, "OPENAI_API_KEY": CANARY},
        capture_output=True,
        # Else root's child would give up rights that its parents keep, and see nothing
        # whether they hide or not.
        preexec_fn=drop_peek_capabilities,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["told"]
    lines = [line for line, _ in told]
    for part in ("launcher.py", "celery", "worker_guard.py", "manage.py run"):
        assert any(part in line for line in lines), lines
    assert [line for line, seen in told if seen] == []
