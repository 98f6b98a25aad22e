"""The kind python_fn: what functions return, raise, and how their time ends."""

import signal
import sys
import threading
import time
from bdb import BdbQuit
from typing import Any

import pytest
from first_step import STEP_ID

from blueprints.agent_modules import broken_modules
from engine.agents import (
    AgentFailed,
    AgentResult,
    agent_function,
    blocked,
    registered,
)
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
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
    call = StepCall("R-1", 1, "/children/0", agent, 2, {"n": 1}, timeout_s)
    return PythonFunctionSpawner().run(call)


def fail(error: BaseException) -> Any:
    """Return a function that raises."""

    def do(value: Any, step: Any) -> Any:
        raise error

    return do


def test_what_a_function_returns_is_the_result() -> None:
    outcome = run(lambda value, step: [value, step.attempt, step.step_id, step.agent])
    assert outcome.kind == "passed"
    assert outcome.value == [{"n": 1}, 2, STEP_ID, "grader"]


def test_an_exception_fails_with_its_type_and_text() -> None:
    outcome = run(fail(KeyError("customer")))
    assert outcome.text == "KeyError: 'customer'"
    assert outcome.error_type == "KeyError"
    assert not outcome.permanent


def test_agent_failed_decides_about_a_retry() -> None:
    assert run(fail(AgentFailed("no such order", permanent=True))).permanent
    outcome = run(fail(AgentFailed("try later")))
    assert (outcome.text, outcome.permanent) == ("try later", False)


def test_ok_false_is_blocked_and_carries_its_value() -> None:
    assert run(lambda value, step: blocked("REDO")).kind == "blocked"
    outcome = run(lambda value, step: AgentResult({"why": "thin"}, ok=False))
    assert (outcome.kind, outcome.value) == ("blocked", {"why": "thin"})
    assert run(lambda value, step: AgentResult(5)).value == 5


def test_a_function_that_calls_exit_fails_like_any_other() -> None:
    assert run(fail(SystemExit(3))).text == "SystemExit: 3"


def test_a_function_is_interrupted_at_its_timeout() -> None:
    begun = time.monotonic()
    outcome = run(lambda value, step: time.sleep(30), timeout_s=0.3)
    assert (outcome.kind, outcome.text) == ("timed_out", "timed out after 0.3 s")
    assert time.monotonic() - begun < 2


def test_the_alarm_is_off_after_a_function_has_ended() -> None:
    assert run(lambda value, step: 1, timeout_s=0.2).value == 1
    time.sleep(0.4)


def test_an_alarm_that_another_has_changed_is_set_up_again() -> None:
    run(lambda value, step: signal.signal(signal.SIGALRM, signal.SIG_DFL))
    assert run(lambda value, step: time.sleep(30), timeout_s=0.2).kind == "timed_out"


def test_where_no_alarm_can_end_it_a_function_is_not_called() -> None:
    found: list[Outcome] = []
    called: list[int] = []
    work = threading.Thread(
        target=lambda: found.append(run(lambda value, step: called.append(1)))
    )
    work.start()
    work.join(10)
    assert [(outcome.kind, outcome.permanent) for outcome in found] == [
        ("failed", True)
    ]
    assert "`--pool prefork`" in found[0].text
    assert called == []


def test_an_error_without_a_text_still_fails() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("mute")

    outcome = run(fail(Mute()))
    assert (outcome.kind, outcome.error_type) == ("failed", "Mute")


def test_a_call_costs_little() -> None:
    ANSWERS["do"] = lambda value, step: None
    agent = Agent("a", "python_fn", "q", 10_000, spec={"fn_id": "test-any"})
    call = StepCall("R-1", 1, "/x", agent, 1, None, 10.0)
    spawner = PythonFunctionSpawner()
    best = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(100):
            spawner.run(call)
        best = min(best, (time.perf_counter() - begun) / 100)
    # A few microseconds on an idle machine; the bound only finds another order.
    assert best < 100e-6


def test_a_very_long_error_is_cut() -> None:
    assert len(run(fail(ValueError("x" * 100_000))).text) == 2000


def test_an_unknown_function_fails_for_good_with_the_nearest_name() -> None:
    outcome = run(fn="test-anny")
    assert outcome.permanent
    assert "did you mean 'test-any'?" in outcome.text


def test_identity_is_registered() -> None:
    assert "identity" in registered()


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

    assert "engine.agents.identity" in str(caught.value)


def test_a_broken_module_is_named_with_its_error(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    (tmp_path / "broken_agents.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.SWARM_AGENT_MODULES = ["broken_agents"]
    fault = broken_modules()["broken_agents"]
    assert "'broken_agents' (SWARM_AGENT_MODULES)" in fault
    assert "ZeroDivisionError" in fault
    assert "broken_agents" not in sys.modules


def test_a_broken_module_does_not_hide_the_others(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    (tmp_path / "leaving_agents.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "sound_agents.py").write_text(
        "from engine.agents import agent_function\n"
        "@agent_function('test-sound')\n"
        "def sound(value, *, step):\n"
        "    return 'sound'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.SWARM_AGENT_MODULES = ["leaving_agents", "no_agents", "sound_agents"]
    assert run(fn="test-sound").value == "sound"
    outcome = run(fn="test-nowhere-near-anything")
    assert outcome.permanent
    assert "'leaving_agents' (SWARM_AGENT_MODULES)" in outcome.text
    assert "SystemExit: 3; the agent module 'no_agents'" in outcome.text


HALF = """from engine.agents import agent_function
import test_half_imported

@agent_function("test-half")
def half(value, *, step):
    return "half"

import nothere
"""
IMPORTED = """from engine.agents import agent_function

@agent_function("test-imported")
def whole(value, *, step):
    return "whole"
"""


def test_no_function_of_a_broken_module_is_served(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    (tmp_path / "test_half_agents.py").write_text(HALF)
    (tmp_path / "test_half_imported.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.SWARM_AGENT_MODULES = ["test_half_agents"]
    outcome = run(fn="test-half")
    assert outcome.permanent
    assert "can't be imported: ModuleNotFoundError: No module named" in outcome.text
    assert "test-half" not in registered()
    # It is sound, and Python keeps it: importing it again would register nothing.
    assert run(fn="test-imported").value == "whole"

    mended = HALF.replace("import nothere", "")
    (tmp_path / "test_half_agents.py").write_text(f"# mended\n{mended}")
    assert run(fn="test-half").value == "half"


def test_a_name_taken_within_a_module_breaks_it_with_both_places(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    (tmp_path / "test_twice_agents.py").write_text(
        "from engine.agents import agent_function\n"
        "@agent_function('test-twice')\n"
        "def one(value, *, step): ...\n"
        "@agent_function('test-twice')\n"
        "def one(value, *, step): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings.SWARM_AGENT_MODULES = ["test_twice_agents"]
    fault = broken_modules()["test_twice_agents"]
    assert (
        "'test-twice' is defined twice: test_twice_agents.one at test_twice_agents.py:2"
        " and test_twice_agents.one at test_twice_agents.py:4" in fault
    )
    assert "test-twice" not in registered()


def test_an_interrupt_of_the_process_is_no_failure_where_a_debugger_may_stop_it() -> (
    None
):
    spawner = PythonFunctionSpawner()
    spawner.interrupts = (KeyboardInterrupt, BdbQuit)
    agent = Agent("g", "python_fn", "swarm.python_fn", 10, spec={"fn_id": "test-any"})
    call = StepCall("R-1", 1, "/children/0", agent, 2, {"n": 1}, 10.0)
    for error in (KeyboardInterrupt(), BdbQuit()):
        ANSWERS["do"] = fail(error)
        with pytest.raises(KeyboardInterrupt):
            spawner.run(call)
        assert run(fail(error)).kind == "failed"
    ANSWERS["do"] = fail(ValueError("no"))
    assert spawner.run(call).text == "ValueError: no"
