"""The kind python_fn: checked inputs, async functions, logs, and output events."""

import asyncio
import functools
import logging
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from attempt_owner import Owner
from called_functions import DO, bad_part, deep, in_time, no_agent, run
from django.core.management import call_command
from pydantic import BaseModel, Field

from engine.agent_inputs import AnnotationUnusable, input_check
from engine.agents import (
    AgentFunction,
    AgentStep,
    agent_function,
    blocked,
    code_place,
    find_function,
)
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.attempt.emitter import Emitter, Outlet
from engine.run.journal.outputs import Artifact, Log, OutputEvent, Partial, Progress
from engine.run.limits import Limits
from workers.spawners import PRINTED
from workers.spawners.python_fn import PythonFunctionSpawner
from workers.spawners.step_log import running

agent_logger = logging.getLogger("test_io_agents")


class Lane(BaseModel):
    """A pydantic model as an input."""

    words: Annotated[int, Field(ge=0)]
    title: str = "untitled"


@dataclass
class Order:
    """A dataclass as an input."""

    customer: str
    due: date
    lanes: list[Lane]


@agent_function("io-order")
def order(value: Order, *, step: Any) -> Any:
    return [type(value).__name__, value.due.year, [lane.title for lane in value.lanes]]


@agent_function("io-words")
def words(value: list[int], *, step: Any) -> Any:
    return sum(value)


@agent_function("io-mode")
def mode(value: Literal["fast", "slow"] | None, *, step: Any) -> Any:
    return value


@agent_function("io-later")
def later(value: "Later", *, step: "OnlyForMypy") -> Any:  # noqa: F821
    return value.n


class Later(BaseModel):
    """Defined after the function that names it."""

    n: int


class Opaque:
    """What pydantic knows nothing about."""


@agent_function("io-opaque")
def opaque(value: Opaque, *, step: Any) -> Any:
    return 1


ORDER = {"customer": "x", "due": "2026-03-01", "lanes": [{"words": 3}]}


def test_an_input_becomes_a_value_of_its_annotation() -> None:
    assert run("io-order", ORDER)[0].value == ["Order", 2026, ["untitled"]]
    assert run("io-words", [1, 2])[0].value == 3
    assert run("io-mode", None)[0].value is None
    assert run("io-later", {"n": 4})[0].value == 4


@pytest.mark.parametrize(
    ("fn", "value", "message"),
    [
        ("io-order", {**ORDER, "lanes": [{"words": -1}]}, "$.lanes[0].words: Input"),
        ("io-order", {**ORDER, "due": "soon"}, "$.due: "),
        ("io-order", {"due": "2026-03-01", "lanes": []}, "$.customer: Field required"),
        ("io-order", "text", "$: "),
        ("io-words", [1, "2"], "$[1]: Input should be a valid integer"),
        ("io-words", [1.5], "$[0]: "),
        ("io-mode", "quick", "Input should be 'fast' or 'slow'"),
    ],
)
def test_an_input_that_does_not_fit_fails_for_good_and_names_the_field(
    fn: str, value: Any, message: str
) -> None:
    outcome, _ = run(fn, value)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert outcome.error_type == "InputRefused"
    assert outcome.text.startswith(f"the input does not fit {fn!r}: ")
    assert message in outcome.text


def test_a_refusal_does_not_repeat_what_was_given() -> None:
    outcome, _ = run("io-words", ["secret-token"])
    assert "secret-token" not in outcome.text


def test_many_faults_are_counted() -> None:
    outcome, _ = run("io-words", ["x"] * 12)
    assert outcome.text.endswith("; and 7 more")


def test_an_annotation_that_can_not_be_checked_is_named() -> None:
    outcome, _ = run("io-opaque", {})
    assert outcome.permanent
    assert "the annotation of 'value' of" in outcome.text
    assert "Opaque" in outcome.text
    with pytest.raises(AnnotationUnusable):
        input_check(AgentFunction(opaque, __name__, "here"))


@pytest.mark.parametrize("fn", ["io-any", "identity"])
def test_without_an_annotation_every_input_is_taken(fn: str) -> None:
    found = find_function(fn)
    assert found is not None
    assert input_check(found) is None


async def _answers(value: Any, step: AgentStep) -> Any:
    await asyncio.sleep(0.01)
    return blocked([value, step.place]) if value == "no" else value


def test_an_async_function_runs_to_its_end() -> None:
    assert run("io-async", "yes", _answers)[0].value == "yes"
    outcome, _ = run("io-async", "no", _answers)
    assert (outcome.kind, outcome.value) == ("blocked", ["no", "/a"])


async def _sleeps(value: Any, step: AgentStep) -> Any:
    try:
        await asyncio.sleep(30)
    finally:
        DO["cleaned"] = True


async def _blocks(value: Any, step: AgentStep) -> Any:
    time.sleep(30)


def _through(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **more: Any) -> Any:
        return function(*args, **more)

    return call


class _Callable:
    """An object that is called like an async function."""

    async def __call__(self, value: Any, *, step: AgentStep) -> Any:
        await asyncio.sleep(0.01)
        return blocked(value)


agent_function("io-wrapped")(_through(in_time))
agent_function("io-object")(_Callable())


def test_an_async_function_that_does_not_look_like_one_runs_to_its_end() -> None:
    outcome, _ = run("io-wrapped", "no", _answers)
    assert (outcome.kind, outcome.value) == ("blocked", ["no", "/a"])
    outcome, _ = run("io-object", [1])
    assert (outcome.kind, outcome.value) == ("blocked", [1])


@pytest.mark.parametrize("do", [_sleeps, _blocks])
def test_an_async_function_that_does_not_look_like_one_has_its_timeout(do: Any) -> None:
    DO.pop("cleaned", None)
    outcome, _ = run("io-wrapped", None, do, timeout_s=0.3)
    assert (outcome.kind, outcome.text) == ("timed_out", "timed out after 0.3 s")
    assert ("cleaned" in DO) == (do is _sleeps)


@pytest.mark.parametrize("do", [_sleeps, _blocks])
def test_an_async_function_ends_at_its_timeout(do: Any) -> None:
    outcome, _ = run("io-async", None, do, timeout_s=0.2)
    assert (outcome.kind, outcome.text) == ("timed_out", "timed out after 0.2 s")


def test_an_async_function_may_clean_up_at_its_timeout() -> None:
    DO.pop("cleaned", None)
    run("io-async", None, _sleeps, timeout_s=0.1)
    assert DO["cleaned"]


def test_a_timeout_of_an_async_functions_own_is_a_failure() -> None:
    async def do(value: Any, step: AgentStep) -> Any:
        raise TimeoutError("the shop does not answer")

    outcome, _ = run("io-async", None, do)
    assert outcome.text == "TimeoutError: the shop does not answer"
    assert outcome.kind == "failed"


def test_a_step_emits_its_progress() -> None:
    def do(value: Any, step: AgentStep) -> Any:
        step.progress("reading", "3 of 7")
        step.progress("writing")
        step.partial({"line": 1})
        step.artifact("plan.md", "# Plan")
        return "done"

    outcome, emitted = run("io-any", None, do)
    assert outcome.value == "done"
    assert emitted == [
        Progress("reading", "3 of 7"),
        Progress("writing"),
        Partial({"line": 1}),
        Artifact("plan.md", "# Plan"),
    ]


def test_what_a_step_showed_does_not_change_afterwards() -> None:
    def do(value: Any, step: AgentStep) -> Any:
        chunk = [1]
        step.partial(chunk)
        chunk.append(2)

    assert run("io-any", None, do)[1] == [Partial([1])]


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda step: step.artifact("", 1), "the name of a part must not be blank"),
        (lambda step: step.artifact("plan", {1}), "artifact 'plan': "),
        (lambda step: step.partial(float("nan")), "a partial: "),
    ],
)
def test_an_invalid_event_is_an_error_at_its_call(say: Any, message: str) -> None:
    outcome, emitted = run("io-any", None, lambda value, step: say(step))
    assert outcome.text.startswith(f"ValueError: {message}")
    assert all(isinstance(event, Log) for event in emitted)


@pytest.fixture
def loud() -> Iterator[None]:
    """Agents log at INFO, as LOGGING has it for the modules of SWARM_AGENT_MODULES."""
    agent_logger.setLevel(logging.INFO)
    yield
    agent_logger.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("loud")
def test_what_a_function_logs_goes_into_its_steps_log() -> None:
    def do(value: Any, step: AgentStep) -> Any:
        agent_logger.info("read %d files", 3)
        agent_logger.debug("not this")
        agent_logger.warning("slow")
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            agent_logger.exception("broke")

    assert run("io-any", None, do)[1] == [
        Log("read 3 files"),
        Log("WARNING slow"),
        Log("ERROR broke: ZeroDivisionError: division by zero"),
    ]


@pytest.mark.usefixtures("loud")
def test_an_async_functions_tasks_log_too() -> None:
    async def child() -> None:
        agent_logger.info("from a task")

    async def do(value: Any, step: AgentStep) -> Any:
        await asyncio.gather(child(), asyncio.to_thread(agent_logger.info, "a thread"))

    assert set(run("io-async", None, do)[1]) == {Log("from a task"), Log("a thread")}


@pytest.mark.usefixtures("loud")
def test_what_a_functions_threads_log_goes_into_its_steps_log() -> None:
    def do(value: Any, step: AgentStep) -> None:
        # The worker's own threads work for no step.
        for logger in (agent_logger, logging.getLogger("celery.worker")):
            work = threading.Thread(target=logger.warning, args=["from a thread"])
            work.start()
            work.join()

    assert run("io-any", None, do)[1] == [Log("WARNING from a thread")]


@pytest.mark.usefixtures("loud")
def test_nothing_is_captured_outside_a_call() -> None:
    _, emitted = run("io-any", None, lambda value, step: agent_logger.info("in"))
    agent_logger.info("out")
    assert emitted == [Log("in")]
    assert running.emit is None
    run("io-any", None, lambda value, step: 1 / 0)
    assert running.emit is None


def test_a_log_line_that_can_not_be_formatted_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def do(value: Any, step: AgentStep) -> Any:
        agent_logger.error("%d files", "three")
        return "done"

    assert run("io-any", None, do)[0].value == "done"


def test_the_loggers_of_agent_modules_are_as_loud_as_our_own(settings: Any) -> None:
    module = settings.LOGGING["loggers"]["blueprints.samples.functions"]
    assert module["level"] == settings.LOGGING["loggers"]["engine"]["level"]


def test_the_sample_modules_log_reaches_the_step() -> None:
    sample = logging.getLogger("blueprints.samples.functions")
    _, emitted = run("io-any", None, lambda value, step: sample.error("x"))
    assert emitted == [Log("ERROR x")]


@pytest.mark.django_db
def test_check_deploy_reports_a_broken_agent_module(
    settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "check_broken.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.SWARM_AGENT_MODULES = ["check_broken"]
    call_command("check", deploy=True)
    printed = capsys.readouterr().err
    assert "swarm.W002" in printed
    assert "'check_broken' (SWARM_AGENT_MODULES) can't be imported" in printed
    assert "RuntimeError: no licence" in printed
    call_command("check")
    assert "swarm.W002" not in capsys.readouterr().err


class Silent:
    """A store that takes what is emitted."""

    def emit(self, *args: Any) -> str:
        return "ok"


# Other tests may have left a callback with the collector: one that is cut short swallows
# the alarm, which rings again.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_alarm_in_the_midst_of_speaking_leaves_no_lock_behind() -> None:
    outlet = Outlet(Silent(), Limits(), "w")  # type: ignore[arg-type]
    spawner = PythonFunctionSpawner()

    def do(value: Any, step: AgentStep) -> Any:
        while True:
            step.progress("round and round")
            agent_logger.error("round")

    DO["do"] = do
    agent = Agent("grader", "python_fn", "q", 10_000, spec={"fn_id": "io-any"})
    spoke = 0
    for number in range(50):
        emit = Emitter(outlet, Owner(), "/a", 1, "grader")
        timeout_s = 0.005 + number / 10_000
        call = StepCall("R-1", 1, "/a", agent, 1, 1, timeout_s, emit=emit)
        outcome = spawner.run(call)
        assert outcome.kind == "timed_out"
        # On a busy machine the alarm may ring before any event is emitted.
        if emit.tail is not None:
            spoke += 1
            assert emit.tail.end(outcome) is outcome
    assert spoke > 10


def _raised_in(function: Any) -> list[OutputEvent]:
    code = function.__code__
    place = code_place(code.co_filename, code.co_firstlineno + 1)
    return [Log(f"raised at {place} in {code.co_name}")]


def test_an_exception_has_its_line_of_ours_in_the_steps_log() -> None:
    async def later(value: Any, step: AgentStep) -> Any:
        await asyncio.sleep(0)
        return deep("{")

    # Not the line of json that raised it: the mistake is not there.
    outcome, emitted = run("io-any", None, lambda value, step: deep("{"))
    assert outcome.text.startswith("JSONDecodeError: ")
    assert emitted == _raised_in(deep)
    assert run("io-async", None, later)[1] == _raised_in(deep)
    assert run("io-any", None, bad_part)[1] == _raised_in(bad_part)
    # Its text is meant to say all.
    assert run("io-any", None, no_agent)[1] == []


def _printing(value: Any, step: AgentStep) -> Any:
    print("rows", 3)
    print("a\nb", end="")
    print("c")
    print("no newline", end="")
    return 1


def test_what_an_agent_prints_is_logged_line_by_line(capsys: Any) -> None:
    outcome, told = run("io-any", None, _printing)
    assert outcome.value == 1
    assert told == [Log("rows 3"), Log("a"), Log("bc"), Log("no newline")]
    assert capsys.readouterr().out == ""
    print("after")
    assert capsys.readouterr().out == "after\n"


def test_a_function_that_closes_standard_output_silences_no_later_step() -> None:
    def closing(value: Any, step: AgentStep) -> Any:
        print("begun", end="")
        sys.stdout.close()
        print("after")

    outcome, told = run("io-any", None, closing)
    assert (outcome.kind, told) == ("passed", [Log("begun"), Log("after")])
    assert run("io-any", None, lambda value, step: print("later"))[1] == [Log("later")]


def test_a_handler_that_writes_to_standard_output_logs_no_line_of_itself() -> None:
    def do(value: Any, step: AgentStep) -> Any:
        handler = logging.StreamHandler(sys.stdout)
        logging.getLogger(PRINTED).addHandler(handler)
        try:
            print("once")
        finally:
            logging.getLogger(PRINTED).removeHandler(handler)
        return "done"

    outcome, told = run("io-any", None, do)
    assert (outcome.value, told) == ("done", [Log("once")])


def test_printed_lines_are_as_loud_as_our_own(settings: Any) -> None:
    loggers = settings.LOGGING["loggers"]
    assert loggers[PRINTED]["level"] == loggers["engine"]["level"]
