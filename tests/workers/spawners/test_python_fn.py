"""The kind python_fn: what functions return, raise, and how their time ends."""

import sys
import time
from typing import Any

import pytest

from blueprints.agents import (
    AgentFailed,
    AgentModuleBroken,
    agent_function,
    blocked,
    load_modules,
)
from blueprints.agents import (
    Outcome as Answer,
)
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.outcomes import Outcome
from workers.spawners.python_fn import PythonFunctionSpawner

ANSWERS: dict[str, Any] = {}


@agent_function("test-any")
def anything(value: Any, *, step: Any) -> Any:
    """Do what the test put here."""
    return ANSWERS["do"](value, step)


def run(do: Any = None, *, fn: str = "test-any", timeout_s: float = 10.0) -> Outcome:
    """Call a function as an agent."""
    ANSWERS["do"] = do
    agent = Agent("grader", "python_fn", "swarm.python_fn", 10_000, spec={"fn_id": fn})
    call = StepCall("R-1", 1, "/children/0", "ST-1", agent, 2, {"n": 1}, timeout_s)
    return PythonFunctionSpawner().run(call)


def fail(error: BaseException) -> Any:
    """Return a function that raises."""

    def do(value: Any, step: Any) -> Any:
        raise error

    return do


def test_what_a_function_returns_is_the_result() -> None:
    outcome = run(lambda value, step: [value, step.attempt, step.step_id, step.agent])
    assert outcome.kind == "passed"
    assert outcome.value == [{"n": 1}, 2, "ST-1", "grader"]


def test_an_exception_fails_with_its_type_and_text() -> None:
    outcome = run(fail(KeyError("customer")))
    assert outcome.text == "KeyError: 'customer'"
    assert outcome.error_type == "KeyError"
    assert not outcome.permanent


def test_agent_failed_says_whether_to_try_again() -> None:
    assert run(fail(AgentFailed("no such order", permanent=True))).permanent
    outcome = run(fail(AgentFailed("try later")))
    assert (outcome.text, outcome.permanent) == ("try later", False)


def test_ok_false_is_blocked_and_carries_its_value() -> None:
    assert run(lambda value, step: blocked("REDO")).kind == "blocked"
    outcome = run(lambda value, step: Answer({"why": "thin"}, ok=False))
    assert (outcome.kind, outcome.value) == ("blocked", {"why": "thin"})
    assert run(lambda value, step: Answer(5)).value == 5


def test_a_function_that_asks_python_to_exit_fails_like_any_other() -> None:
    assert run(fail(SystemExit(3))).text == "SystemExit: 3"


def test_a_function_is_interrupted_at_its_timeout() -> None:
    begun = time.monotonic()
    outcome = run(lambda value, step: time.sleep(30), timeout_s=0.3)
    assert (outcome.kind, outcome.text) == ("timed_out", "timed out after 0.3 s")
    assert time.monotonic() - begun < 2


def test_the_alarm_is_off_after_a_function_has_ended() -> None:
    assert run(lambda value, step: 1, timeout_s=0.2).value == 1
    time.sleep(0.4)


def test_a_very_long_error_is_cut() -> None:
    assert len(run(fail(ValueError("x" * 100_000))).text) == 2000


def test_an_unknown_function_fails_for_good_with_the_nearest_name() -> None:
    outcome = run(fn="test-anny")
    assert outcome.permanent
    assert "did you mean 'test-any'?" in outcome.text


def test_identity_echoes_as_the_reference_does() -> None:
    assert run(fn="identity").value == {
        "by": "baseline-identity",
        "agent": "grader",
        "echoed": {"n": 1},
    }


def test_two_functions_of_one_name_are_refused_with_both_places() -> None:
    with pytest.raises(ValueError, match="identity") as caught:

        @agent_function("identity")
        def other(value: Any, *, step: Any) -> Any:
            return value

    assert "blueprints.agents.identity" in str(caught.value)


def test_a_broken_module_is_named_with_its_error(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_agents.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AgentModuleBroken, match="ZeroDivisionError") as caught:
        load_modules(["broken_agents"])
    assert "broken_agents" in str(caught.value)
    assert "broken_agents" not in sys.modules
