"""Attackers that fill the buffers of a worker: how much of its memory they get."""

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from attempt_owner import Owner

from engine.agents import agent_function
from engine.blueprint.program import Agent
from engine.run.attempt.attempts import make_attempt
from engine.run.attempt.emitter import Emitter, Outlet
from engine.run.limits import Limits
from engine.store.base import Ref
from workers.spawners.lua import LuaSpawner
from workers.spawners.python_fn import PythonFunctionSpawner
from workers.spawners.subprocess import SubprocessSpawner

MIB = 1024 * 1024
MOST = 128 * MIB
"""Sixteen times the allowed output, which is kept as bytes, as text and as a value."""
TIMEOUT_MS = 4000

pytestmark = pytest.mark.slow

LUA = {
    "names of artifacts": """
        local name = ('n'):rep(120)
        for n = 1, 5e4 do pcall(emit.artifact, name .. n, 1) end""",
    "short names of artifacts": "for n = 1, 5e4 do pcall(emit.artifact, '' .. n, 1) end",
    "bodies of artifacts": """
        for n = 1, 30 do pcall(emit.artifact, 'a' .. n, ('x'):rep(1e6)) end""",
    "one artifact again and again": """
        for n = 1, 30 do pcall(emit.artifact, 'a', ('x'):rep(1e6)) end""",
    "small values in an artifact": """
        local t = json.array() for n = 1, 1e6 do t[n] = json.array() end
        emit.artifact('a', t)""",
    "partials": "for n = 1, 1e5 do pcall(emit.partial, 1) end",
    "notes": "for n = 1, 1e5 do emit.progress(('s'):rep(1000), ('n'):rep(1000)) end",
    "prints": "for n = 1, 1e5 do print(('x'):rep(1000)) end",
    "an error's text": "error(('x'):rep(1e7))",
    "the place of an error": "return {[('k'):rep(1e7)] = print}",
    "names of modules": "for n = 1, 1000 do pcall(require, ('m'):rep(1e5) .. n) end",
    "a result of small values": """
        local t = json.array() for n = 1, 1e6 do t[n] = json.array() end return t""",
}

STREAMS = {
    "names of parts": "for n in range(10**6): say('artifact', name='n' * 100 + str(n),"
    " content=inline(1))",
    "short names of parts": "for n in range(10**6): say('artifact', name=str(n),"
    " content=inline(1))",
    "one part again and again": "for n in range(10**6): say('artifact', name='a',"
    " content=inline('x' * 10**6))",
    "partials": "for n in range(10**6): say('partial', chunk=inline(n))",
    "notes": "for n in range(10**6): say('progress', stage='s' * 1000, note='n' * 1000)",
    "logs": "for n in range(10**6): say('log', text='x' * 1000)",
    "finals": "for n in range(10**6): say('final', content=inline('x' * 10**6))",
    "authors of finals": "for n in range(100): say('final', content=inline(1),"
    " by='b' * 50_000)",
    "references to files": "for n in range(10**6): say('artifact', name='a',"
    " content={'kind': 'file_ref', 'path': 'p' * 10**6})",
    "broken lines": "for n in range(10**6): print('x' * 300_000)",
    "lines with a repeated key": "for n in range(100):"
    " print('{' + ('\"' + 'k' * 100_000 + '\":1,') * 2 + '\"a\":1}')",
    "a line without an end": "for n in range(10**6): print('x' * 10**5, end='')",
    "blank lines": "for n in range(10**6): print('\\n' * 1000)",
}
# Small values take some fifty times as much in memory: a fourth of what may be printed.
EMPTY_LISTS = "print('[' + '[],' * (2 * 2**20 // 3 - 2) + '[]]')"
DOCUMENTS = {
    "small values": EMPTY_LISTS,
    "bytes that are no text": "import os\nwhile True: os.write(1, b'\\xff' * 2**16)",
    "all of it bytes that are no text": "import os\nos.write(1, b'\\xff' * (8 * 2**20))",
    "standard error": "import os\nfor n in range(500): os.write(2, b'\\xff' * 2**16)",
    "a flood": "while True: print('x' * 10**6)",
}
SAY = (
    "import json\n"
    "def say(kind, **fields): print(json.dumps({'type': kind, **fields}), flush=True)\n"
    "def inline(value): return {'kind': 'inline', 'value': value}\n"
)


@agent_function("fills-names")
def names(value: Any, *, step: Any) -> Any:
    for n in range(30_000):
        step.artifact("n" * 120 + str(n)[-8:], 1)


@agent_function("fills-events")
def events(value: Any, *, step: Any) -> Any:
    for n in range(30_000):
        step.progress("s" * 5000, "n" * 5000)
        step.partial(n)


@agent_function("fills-error-type")
def error_type(value: Any, *, step: Any) -> Any:
    raise type("E" * MIB, (Exception,), {})("x" * MIB)


FUNCTIONS = ["fills-names", "fills-events", "fills-error-type"]


def child(code: str, **more: Any) -> Agent:
    spec = {"program": sys.executable, "args": ["-I", "-c", code], "use_stdin": True}
    return Agent("a", "subprocess", "q", TIMEOUT_MS, spec={**spec, **more})


CASES = {
    **{
        f"lua: {k}": Agent("a", "lua", "q", TIMEOUT_MS, spec={"source": v})
        for k, v in LUA.items()
    },
    **{
        f"stream: {k}": child(SAY + v, stream_mode="ndjson_lines")
        for k, v in STREAMS.items()
    },
    "sse: lines of one event": child(
        "while True: print('data:ab\\n' * 1000, end='')", stream_mode="sse_events"
    ),
    "frames: empty ones": child(
        "import sys\nwhile True: sys.stdout.buffer.write(b'\\0\\0\\0\\2{}' * 1000)",
        stream_mode="length_prefixed",
    ),
    "frames: one of 16 MiB": child(
        "import sys\nsys.stdout.buffer.write(b'\\1\\0\\0\\0')\n"
        "while True: sys.stdout.buffer.write(b'x' * 2**16)",
        stream_mode="length_prefixed",
    ),
    **{f"document: {k}": child(v) for k, v in DOCUMENTS.items()},
    "document: statistics": child(
        "import json; print(json.dumps({'m': 'x' * 10**6, 'u': {'input': 10**15}}))",
        output={"stats": {"model_ptr": "/m", "usage_ptr": "/u"}},
    ),
    **{
        f"function: {k}": Agent("a", "python_fn", "q", TIMEOUT_MS, spec={"fn_id": k})
        for k in FUNCTIONS
    },
}


class Nowhere:
    """A store that takes every entry and keeps none."""

    def emit(self, owner: Any, seq: int, nonce: str, mark: int, entry: bytes) -> str:
        assert len(entry) < 3 * MIB
        return "ok"


def attempt(agent: Agent) -> Any:
    """Make an attempt as a worker does; its outcome and what its end adds to the journal."""
    made = {
        "lua": LuaSpawner,
        "subprocess": SubprocessSpawner,
        "python_fn": PythonFunctionSpawner,
    }[agent.kind]()
    owner = Owner()
    outlet = Outlet(Nowhere(), Limits(), "w")  # type: ignore[arg-type]
    emit = Emitter(outlet, owner, "/a", 1, agent.name)
    try:
        outcome = make_attempt(
            {agent.kind: made},
            agent,
            Ref("R-1", 1, ""),
            "/a",
            1,
            {},
            Limits(),
            emit=emit,
        )
    finally:
        if agent.kind != "python_fn":
            made.close()
    return outcome, owner.events


def in_a_process(work: Callable[[], Any]) -> dict[str, Any]:
    """Do work in a process of its own; how far its memory grew, and what came of it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            outcome, events = work()
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            told = {
                "memory": (after - before) * 1024,
                "text": len(outcome.text),
                "type": len(outcome.error_type),
                "stats": len(json.dumps(outcome.stats)),
                "events": len(orjson.dumps(events)),
            }
            os.write(writer, json.dumps(told).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as file:
        told: dict[str, Any] = json.load(file)
    os.waitpid(pid, 0)
    return told


@pytest.mark.parametrize("name", CASES)
def test_an_attacker_gets_a_bounded_share_of_its_worker(name: str) -> None:
    told = in_a_process(lambda: attempt(CASES[name]))
    assert told["memory"] < MOST, told
    assert told["text"] <= 65_537
    assert told["type"] <= 128
    assert told["stats"] < 1000
    assert told["events"] < 3 * MIB
