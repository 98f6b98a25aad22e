"""Functions that fork or close foreign descriptors: only the called process comes back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
# A process of its own: without the guard two test runs would continue after the fork.
SETUP = """
import asyncio, multiprocessing, os, sys, threading, time
import django
django.setup()
from engine.agents import agent_function
from engine.blueprint.program import Agent
from engine.ports import StepCall
from workers.spawners.python_fn import PythonFunctionSpawner

def call(fn, do, emit=lambda event: None):
    spec = {"fn_id": fn}
    agent = Agent("a", "python_fn", "swarm.python_fn", 10_000, spec=spec)
    args = ("R-1", 1, "/", agent, 1, do, 10.0)
    outcome = PythonFunctionSpawner().run(StepCall(*args, emit=emit))
    print(outcome.kind, outcome.value, outcome.text)
"""
FORKING = """
def child(do):
    if do == "exit": sys.exit(7)
    if do == "says": sys.exit("\\x1b[31mred")
    if do == "raise": raise ValueError("in the child \\x1b[31m")
    return "from the child"

@agent_function("ends")
def fork(do, *, step):
    pid = os.fork()
    if pid == 0:
        return child(do)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for do in ("return", "exit", "says", "raise"):
    call("ends", do)
"""
ASYNC = """
@agent_function("async")
async def fork(do, *, step):
    pid = os.fork()
    if pid == 0:
        return "from the child"
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    # What wakes the loop up must still be there.
    return [ended, await asyncio.to_thread(lambda: 5)]

call("async", None)
"""
LOGGING = """
import logging

@agent_function("log")
def fork(do, *, step):
    pid = os.fork()
    logging.getLogger("agent").warning("from %s", "the child" if pid == 0 else "here")
    if pid: os.waitpid(pid, 0)

said = []
def note(event):
    os.write(1, f"{event.text}\\n".encode())
call("log", None, note)
"""
WORKERS = """
kept = multiprocessing.Process(target=time.sleep, args=(60,))
kept.start()

@agent_function("workers")
def start(do, *, step):
    left = multiprocessing.Process(target=time.sleep, args=(60,))
    left.start()
    return left.pid

spawner = PythonFunctionSpawner()
call("workers", None)
print(multiprocessing.active_children() == [kept])
kept.kill()
"""
CLOSING = """
@agent_function("closes")
def close(do, *, step):
    os.closerange(0, 3)
    return open("/dev/zero", "rb").fileno()

call("closes", None)
file = open("/dev/zero", "rb")
print(file.fileno() > 2)
"""
LUA = """
from engine.ports import LuaLimits, LuaScript
from workers.lua.host import SandboxHost

def fork(value):
    pid = os.fork()
    if pid == 0:
        return "from the child"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

host = SandboxHost()
script = LuaScript("return host.fork(1)", "fork.lua", None, functions={"fork": fork})
print(host.run(script, LuaLimits(5.0, 1 << 24, 1 << 20)), flush=True)
host.close()
"""


PARTS = {
    "ends": (FORKING, ["passed 0", "passed 7", "passed 1", "passed 1"]),
    "async": (ASYNC, ["passed [0, 5]"]),
    "log": (LOGGING, ["WARNING from here", "passed None"]),
    "multiprocessing": (WORKERS, ["passed", "True"]),
    "lua": (LUA, ["0"]),
    "closed": (CLOSING, ["passed 0", "True"]),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """All of it in one process, to load Django once."""
    parts = "".join(f"print('== {name}')\n{code}" for name, (code, _) in PARTS.items())
    return subprocess.run(
        [sys.executable, "-u", "-c", SETUP + parts],
        cwd=REPO,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
            "SWARM_VAR": str(tmp_path_factory.mktemp("var")),
            "SWARM_AGENT_MODULES": "",
        },
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


@pytest.mark.parametrize("part", PARTS)
def test_what_a_function_forks_ends_where_it_would_come_back(
    ended: subprocess.CompletedProcess[str], part: str
) -> None:
    said = ended.stdout.partition(f"== {part}\n")[2].partition("== ")[0].splitlines()
    assert len(said) == len(PARTS[part][1]), ended.stdout + ended.stderr
    for line, start in zip(said, PARTS[part][1], strict=True):
        assert line.startswith(start), ended.stdout + ended.stderr


def test_how_a_fork_ended_is_one_line_without_escapes(
    ended: subprocess.CompletedProcess[str],
) -> None:
    said = "a process that an agent's function forked ended: "
    assert [line for line in ended.stderr.splitlines() if said in line] == [
        f"{said}'\\x1b[31mred'",
        f"{said}'ValueError: in the child \\x1b[31m'",
    ]
