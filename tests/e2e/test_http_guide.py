"""The commands of the guide to the HTTP API, run as they stand there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_shell import REPO, Shell

pytestmark = pytest.mark.slow
PAGE = (REPO / "docs" / "guides" / "the-http-api.md").read_text()


def block(mark: str) -> str:
    """Return the last block of the guide that is marked so."""
    return re.findall(rf"^```{mark}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[-1]


def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def test_every_line_of_the_guide_succeeds(shell: Shell, tmp_path: Path):
    bind = free()
    up = shell.start("up", "--no-workers", SWARM_BIND=bind)
    shell.until(lambda: "launch" in shell.out)
    script = block("sh api").replace("127.0.0.1:7777", bind)
    script = script.replace("/tmp/", f"{tmp_path}/")
    folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=REPO,
        env={**shell.env, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = read_values(done.stdout)
    registered, listed, changed, history, diff, blame, events, *rest = answers
    alias, back, prod, imported = rest
    assert (registered["number"], registered["label"]) == (1, "1.0.0")
    assert listed["items"][0]["id"] == "repo-digest"
    assert changed["number"] == 2
    assert [one["number"] for one in history["entries"]] == [2, 1]
    assert diff["changes"]
    assert set(blame["agents"].values()) <= {registered["commit"], changed["commit"]}
    assert [one["reason"] for one in events["items"]] == ["Slower", "First"]
    assert alias["commit"] == changed["commit"] == prod["commit"]
    assert (back["number"], back["version"]) == (3, registered["version"])
    assert (imported["number"], imported["version"]) == (4, changed["version"])
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0


def read_values(text: str) -> list[dict[str, object]]:
    """Return the JSON values that follow each other in a text."""
    found, decoder = [], json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        value, end = decoder.raw_decode(text, start)
        found.append(value)
        start = text.find("{", end)
    return found


def test_the_settings_for_production_are_clean(shell: Shell):
    lines = block("sh").splitlines()
    given = [line.split()[1].split("=", 1) for line in lines if "export" in line]
    env = {**dict(given), "SWARM_SECRET_KEY": "aB3-" * 9 + "x0123456789yzQWERTZ"}
    assert shell.run("check", "--deploy", **env) == 0
    assert "no issues" in shell.out, shell.out + shell.err

    assert shell.run("migrate") == 0
    bind = free()
    web = shell.start("web", SWARM_BIND=bind, **env)

    def answer() -> str:
        asking = ["curl", "-si", "-H", "Host: swarm.example"]
        url = f"http://{bind}/v1/healthz"
        return subprocess.run(
            [*asking, url], capture_output=True, text=True, check=False
        ).stdout

    shell.until(answer)
    assert answer().startswith("HTTP/1.1 200 OK")
    web.send_signal(signal.SIGINT)
    assert web.wait(60) == 0
