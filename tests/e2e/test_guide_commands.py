"""The commands of the guides about agents, output and fleets, run as they stand there."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_shell import REPO, Shell, naps

from workers.embedded_server.server import ensure_server

pytestmark = pytest.mark.slow

GUIDES = REPO / "docs" / "guides"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(page: str, info: str) -> list[str]:
    """Return the blocks of a guide that are marked so."""
    found = FENCE.findall((GUIDES / page).read_text())
    return [text for marked, text in found if marked == info]


def commands(text: str) -> list[list[str]]:
    """Return the words of each line that runs manage.py, without them."""
    lines = [line.removeprefix("$ ").split(" 2>&1")[0] for line in text.splitlines()]
    own = [line for line in lines if "manage.py " in line and ": python" not in line]
    found = [shlex.split(line, comments=True) for line in own]
    assert all(words[:2] == ["python", "manage.py"] for words in found)
    return [words[2:] for words in found]


def exported(text: str) -> dict[str, str]:
    """Return the variables that a block exports."""
    found = re.findall(r"^(?:\$ )?export (.*)$", text, re.MULTILINE)
    words = (word for line in found for word in shlex.split(line))
    return dict(word.split("=", 1) for word in words)


def beside(shell: Shell, **files: str) -> dict[str, str]:
    """Save what a guide shows; the variables with which it is found."""
    for name, text in files.items():
        (shell.var / name.replace("__", ".")).write_text(text)
    return {"PYTHONPATH": f"{shell.var}{os.pathsep}{shell.env['PYTHONPATH']}"}


@contextmanager
def in_background(shell: Shell, log: Path, *words: str, **env: str) -> Iterator[None]:
    """Run a command in another terminal, until Ctrl-C."""
    with open(log, "w") as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=REPO,
            env={**shell.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(40)


def serving(shell: Shell) -> set[str]:
    """Return the command lines of the workers, each with a name of its own."""
    return {line for line in shell.workers() if " worker " in line}


def test_the_guide_to_agents(shell: Shell):
    page = "write-an-agent.md"
    blueprint = next(
        text
        for text in fences(page, "yaml blueprint")
        if text.startswith("id: review-notes")
    )
    [function] = fences(page, "python agent")
    env = beside(shell, notes_agents__py=function, review_notes__yaml=blueprint)
    # The second has a debugger (tests/e2e/test_in_process.py).
    modules, _, runs = fences(page, "sh")
    env |= exported(modules)
    assert set(exported(modules)) == {"SWARM_AGENT_MODULES"}

    verdicts = []
    for command, file, *more in commands(runs):
        assert (command, file) == ("run", "review-notes.yaml")
        code = shell.run(command, shell.var / "review_notes.yaml", *more, **env)
        assert code == 0, shell.err
        verdicts.append(json.loads(shell.out)["grade"]["verdict"])
    assert verdicts == ["good", "refused"]


def test_the_guide_to_output_events(shell: Shell):
    page = "output-events.md"
    [function] = fences(page, "python agent output")
    [blueprint] = fences(page, "yaml blueprint")
    session = fences(page, "console")[0]
    env = beside(shell, notes_index__py=function, index_notes__yaml=blueprint)
    [[command, file, *more]] = commands(session)
    assert (command, file, more) == ("run", "index-notes.yaml", [])
    code = shell.run(
        command, shell.var / "index_notes.yaml", **exported(session), **env
    )

    assert code == 0, shell.err
    shown = session[session.index("\n{") : session.rindex("}") + 1]
    assert json.loads(shell.out) == json.loads(shown)
    # All but the notes of one stage, which are printed once a second.
    for line in session.splitlines():
        if line.startswith(("  log", "  part")) or "writing" in line:
            assert line in shell.err


def test_the_guide_to_output_events_of_a_child_process(shell: Shell):
    session = fences("output-events.md", "console")[2]
    [[command, sample, option, root]] = commands(session)
    assert (command, option, root.partition("=")[0]) == ("run", "--set", "root")
    source = shell.var / "src"
    source.mkdir()
    (source / "a.py").write_text("a = 1\n")

    assert shell.run(command, sample, option, f"root={source}") == 0, shell.err
    ctx = json.loads(shell.out)
    shown = json.loads(session[session.index("\n{") : session.rindex("}") + 1])
    assert (ctx["verdict"], ctx["build"]["parts"]) == ("built", {"broken": []})
    assert set(ctx["build"]["out"]) == set(shown["build"]["out"])


def test_the_guide_to_a_fleet_on_one_machine(shell: Shell):
    here, _ = fences("run-a-fleet.md", "sh")
    up, run, doctor = commands(here)
    assert (up[0], run, doctor) == ("up", ["run", "FILE"], ["doctor"])
    file = shell.write(naps(0))
    log = shell.var / "up.log"
    with in_background(shell, log, *up):
        shell.until(lambda: len(shell.workers()) > int(up[-1]))
        before = serving(shell)
        assert shell.run("run", file) == 0, shell.err
        # The run has used the workers that are up and started none.
        assert serving(shell) == before
        assert shell.run(*doctor) == 0, shell.out
    shell.run("up", "--stop")
    shell.until(lambda: not shell.workers())
    assert "Traceback" not in log.read_text()


def test_the_guide_to_a_fleet_on_many_machines(shell: Shell):
    _, there = fences("run-a-fleet.md", "sh")
    migrate, doctor, fleet = commands(there)
    socket = ensure_server(shell.var, keep=True).socket_path
    env = {
        "SWARM_REDIS_URL": f"unix://{socket}",
        "DATABASE_URL": f"sqlite:///{shell.var}/shared.sqlite3",
        "SWARM_SECRET_KEY": "of this test, and long enough to be taken for a secret one",
    }
    assert set(exported(there)) == set(env)
    assert shell.run(*migrate, **env) == 0, shell.err
    assert (shell.var / "shared.sqlite3").is_file()
    assert shell.run(*doctor, **env) == 0, shell.out
    log = shell.var / "fleet.log"
    with in_background(shell, log, *fleet, **env):
        shell.until(lambda: len(shell.workers()) > int(fleet[-1]))
        file = shell.write(naps(0, 0))
        assert shell.run("run", file, "--no-workers", **env) == 0, shell.err
        assert json.loads(shell.out) == {"nap0": "/children/0", "nap1": "/children/1"}
    assert "Traceback" not in log.read_text()
