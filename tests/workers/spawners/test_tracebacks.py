"""The traceback that a failed Python function keeps."""

import asyncio
import os
from typing import Any

import pytest
from called_functions import bad_part, deep, no_agent, run

from blueprints.secrecy import _forms
from engine.agents import AgentStep
from workers.spawners.tracebacks import MOST


def test_a_failure_keeps_the_traceback_of_the_agents_own_code() -> None:
    outcome = run("io-any", None, lambda value, step: deep("{"))[0]
    lines = outcome.traceback.splitlines()
    line = deep.__code__.co_firstlineno + 1
    assert lines[0] == "Traceback (most recent call last):"
    # It begins in the agent's code, and shows where json raised it.
    assert lines[1].endswith(", in anything")
    assert f'  File "{deep.__code__.co_filename}", line {line}, in deep' in lines
    assert any("/json/decoder.py" in one for one in lines)
    assert "python_fn.py" not in outcome.traceback
    assert lines[-1].startswith("json.decoder.JSONDecodeError: ")

    bad = run("io-any", None, bad_part)[0].traceback
    assert bad.splitlines()[-1] == "ValueError: the name of a part must not be blank"
    assert "blueprints/agents.py" not in bad
    assert "in no_agent" in run("io-any", None, no_agent)[0].traceback


def _chained(value: Any, step: AgentStep) -> None:
    try:
        step.artifact("", value)
    except ValueError as error:
        raise RuntimeError("no part") from error


def _slow(value: Any, step: AgentStep) -> None:
    while True:
        pass


async def _asleep(value: Any, step: AgentStep) -> None:
    await asyncio.sleep(60)


def test_a_traceback_has_its_causes_and_the_line_a_timeout_met() -> None:
    told = run("io-any", None, _chained)[0].traceback
    assert "ValueError: the name of a part" in told
    assert "direct cause" in told
    assert "blueprints/agents.py" not in told
    assert told.count("in _chained") == 2

    ended = run("io-any", None, _slow, timeout_s=0.1)[0]
    assert (ended.kind, "in _slow" in ended.traceback) == ("timed_out", True)
    late = run("io-any", None, _asleep, timeout_s=0.1)[0]
    assert (late.kind, "in _asleep" in late.traceback) == ("timed_out", True)


def test_a_traceback_has_no_secret_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTHER_API_KEY", "sk-canary-of-a-service")
    _forms.cache_clear()

    def leak(value: Any, step: AgentStep) -> None:
        raise ValueError(
            f"refused {os.environ['OTHER_API_KEY']} {'x' * 100_000}\x1b[0m"
        )

    told = run("io-any", None, leak)[0].traceback
    _forms.cache_clear()
    assert "canary" not in told
    assert "refused ********" in told
    assert "characters left out" in told
    assert len(told) < MOST + 100
    assert told.endswith("\\x1b[0m\n")
