"""The disk below an installation is full: reported at once, and no process hangs."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_shell import REPO, Shell

FULL = "Redis can't write to its disk (No space left on device)"
LOOPS = 60


class SmallDisk(Shell):
    """A shell whose installation lies on a file system of its own, in its own mounts."""

    def __init__(self, shell: Shell, holder: subprocess.Popen[str]) -> None:
        super().__init__(shell.var)
        self.env["SWARM_VAR"] = str(self.var / "disk")
        self.commands: list[subprocess.Popen[str]] = []
        self.before = ("nsenter", "-t", str(holder.pid), "-U", "-m")
        self.before += ("--preserve-credentials", f"--wd={REPO}", "--")

    def start(self, *args: object, **env: str) -> subprocess.Popen[str]:
        self.commands.append(super().start(*args, **env))
        return self.commands[-1]

    def sh(self, line: str) -> None:
        subprocess.run([*self.before, "sh", "-c", line], env=self.env, check=True)

    def fill(self) -> None:
        """Take all the room there is."""
        self.sh(f"cat /dev/zero > {self.var}/disk/filler 2>/dev/null; true")

    def make_room(self) -> None:
        self.sh(f"rm {self.var}/disk/filler")

    def another(self, *args: object) -> subprocess.CompletedProcess[str]:
        """Run a command beside the one that was started."""
        return subprocess.run(
            self.line(*args), cwd=REPO, env=self.env, capture_output=True, text=True
        )


@pytest.fixture
def disk(shell: Shell) -> Iterator[SmallDisk]:
    """An installation on a disk of 32 MiB."""
    (shell.var / "disk").mkdir()
    line = "mount -t tmpfs -o size=32m tmpfs disk && echo mounted && exec sleep 1000"
    holder = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", line],
        cwd=shell.var,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "mounted\n"
    made = SmallDisk(shell, holder)
    try:
        yield made
    finally:
        for command in made.commands:
            command.kill()
            command.wait()
        made.another("up", "--stop")
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.fixture
def outputs(disk: SmallDisk) -> SmallDisk:
    """An installation that has only its outputs on the small disk."""
    disk.env["SWARM_VAR"] = str(disk.var)
    disk.env["SWARM_OUTPUTS"] = str(disk.var / "disk")
    return disk


def counting(disk: SmallDisk) -> Path:
    """Return a Blueprint that counts, a step at a time."""
    path: Any = {"op": "path", "at": "$.got.count"}
    step = {
        "kind": "step",
        "ref": "count",
        "in": path,
        "out": {"op": "path", "at": "$.got"},
    }
    loop = {
        "kind": "loop",
        "counter": {"op": "path", "at": "$.i"},
        "cond": {"op": "lit", "value": True},
        "max": LOOPS,
        "body": step,
    }
    flow = {"kind": "seq", "children": [loop]}
    agents = [{"name": "count", "kind": "python_fn", "spec": {"fn_id": "e2e-count"}}]
    more = {"agents": agents, "default_init_ctx": {"got": {"count": 0}}}
    return disk.write(flow, **more)


def fill_under_way(disk: SmallDisk, *args: object) -> subprocess.Popen[str]:
    """Start a run and fill its disk once it moves; return when that is reported."""
    command = disk.start("run", counting(disk), *args)
    disk.until(lambda: disk.err.count("passed") > 3)
    disk.fill()
    disk.until(lambda: FULL in disk.err)
    return command


@pytest.mark.slow
def test_a_run_continues_when_there_is_room_again(disk: SmallDisk):
    command = fill_under_way(disk)
    [run] = {word for word in disk.err.split() if word.startswith("R-")}
    refused = disk.another("runs", "cancel", run)
    assert refused.returncode == 2
    assert FULL in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert disk.another("runs", "list").returncode == 0

    disk.make_room()
    assert command.wait(60) == 0, disk.err
    assert json.loads(disk.out)["got"]["count"] == LOOPS
    assert "There is free space again" in disk.err


@pytest.mark.slow
def test_ctrl_c_and_resume_work_on_a_full_disk(disk: SmallDisk):
    command = fill_under_way(disk)
    command.send_signal(signal.SIGINT)
    disk.until(lambda: "Interrupted." in disk.err)
    command.send_signal(signal.SIGINT)

    assert command.wait(30) == 130, disk.err
    line = disk.err.strip().splitlines()[-1].split()
    assert line[-3:-1] == ["runs", "resume"]
    assert "Traceback" not in disk.err
    disk.make_room()
    assert disk.run("runs", "resume", line[-1]) == 0, disk.err
    assert json.loads(disk.out)["got"]["count"] == LOOPS


@pytest.mark.slow
def test_a_deadline_applies_on_a_full_disk(disk: SmallDisk):
    command = fill_under_way(disk, "--timeout", "12", "--json")

    assert command.wait(40) == 3, disk.err
    got = json.loads(disk.out)
    assert got["error"]["kind"] == "RunDeadline"
    assert FULL in got["error"]["text"]
    assert "Traceback" not in disk.err
    # The end that could not be recorded is recorded when there is room.
    disk.make_room()
    assert disk.run("runs", "resume", got["run"]) == 3, disk.err


def large(disk: SmallDisk) -> Path:
    """Return a Blueprint whose steps give values that are kept outside of the Ctx."""
    source = "local n = _CTX.n\nreturn string.rep(tostring(n), 40000)\n"
    agents = [{"name": "big", "kind": "lua", "spec": {"source": source}}]
    step = {"kind": "step", "ref": "big", "in": {"op": "path", "at": "$"}}
    out = {"op": "path", "at": "$.big"}
    return disk.write({**step, "out": out}, agents=agents, default_init_ctx={"n": 1})


@pytest.mark.slow
def test_a_run_waits_for_room_for_its_outputs_and_can_be_cancelled(outputs: SmallDisk):
    path = large(outputs)
    assert outputs.run("run", path, "--keep-workers") == 0, outputs.err
    outputs.fill()
    full = "where large values are kept, has room for 0 bytes only"
    command = outputs.start("run", path, "--set", "n=2", "--json")
    outputs.until(lambda: full in outputs.err)
    [run] = {word for word in outputs.err.split() if word.startswith("R-")}
    logs = outputs.var / "log"
    outputs.until(
        lambda: any(
            f"run {run} waits for its outputs" in log.read_text()
            for log in logs.glob("*")
        )
    )
    doctor = outputs.another("doctor")
    assert "has room for 0 bytes only" in doctor.stdout
    assert outputs.another("runs", "cancel", run).returncode == 0
    assert command.wait(30) == 1, outputs.err

    command = outputs.start("run", path, "--set", "n=3", "--json")
    outputs.until(lambda: full in outputs.err)
    outputs.make_room()
    assert command.wait(60) == 0, outputs.err
    assert json.loads(outputs.out)["ctx"]["big"] == "3" * 40000
    assert "There is free space again" in outputs.err
