"""An answer outside of its agent's verdict contract never reaches the Ctx."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flow_documents import at, fanout, lit, step
from random_programs import agent, program, spawners

from engine.blueprint.program import Retry
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import AS_EMITTED, Artifact, Final, OutputEvent
from engine.testing import Simulator
from workers.pytest_plugin import MakeSimulator

WORDS = ["PASS", "REJECT"]
NOT_IN = "which is not in its contract: 'PASS', 'REJECT'"
NO_PART = "agent 'judge' gave no part 'verdict', which its contract asks for"
JUDGE = step("judge", at("$.n"), "$.v")
PASS, MAYBE = Artifact("verdict", "PASS"), Artifact("verdict", "MAYBE")

Script = Callable[[StepCall], Any]
Ran = Callable[..., Simulator]


def answering(answer: Any, *events: OutputEvent) -> Script:
    def script(call: StepCall) -> Any:
        for event in events:
            call.emit(event)
        return answer

    return script


@pytest.fixture
def ran(swarm_simulator: MakeSimulator) -> Ran:
    """Return a function that runs a flow whose agent `judge` has a contract."""

    def run(
        channel: str, script: Script, flow: Any = JUDGE, retry: Retry | None = None
    ) -> Simulator:
        contract = {"channel": channel, "values": WORDS}
        judge = replace(agent("judge"), verdict=contract, retry=retry or Retry())
        made = program(flow)
        made = replace(made, agents={**made.agents, "judge": judge})
        simulator = swarm_simulator(spawners(script))
        simulator.launch(made, {"n": 1})
        simulator.run()
        return simulator

    return run


def failure(made: Simulator) -> str:
    """Return why the only attempt has failed; the Ctx is as it was."""
    [text] = [event[4] for event in made.events() if event[0] == "failed"]
    assert not [event for event in made.events() if event[0] == "passed"]
    assert made.final() == {"n": 1}
    return str(text)


@pytest.mark.parametrize(
    ("channel", "script", "value"),
    [
        ("body", answering("PASS"), "PASS"),
        ("body", answering(Outcome("passed", AS_EMITTED), Final("REJECT")), "REJECT"),
        (
            "body",
            answering("PASS", Artifact("notes", "none")),
            {"out": "PASS", "parts": {"notes": "none"}},
        ),
        (
            "part",
            answering({"any": "thing"}, PASS),
            {"out": {"any": "thing"}, "parts": {"verdict": "PASS"}},
        ),
        (
            "part",
            answering("MAYBE", MAYBE, PASS),
            {"out": "MAYBE", "parts": {"verdict": "PASS"}},
        ),
    ],
)
def test_a_word_of_the_contract_passes(
    ran: Ran, channel: str, script: Script, value: Any
) -> None:
    assert ran(channel, script).final() == {"n": 1, "v": value}


@pytest.mark.parametrize(
    ("channel", "script", "text"),
    [
        ("body", answering("MAYBE"), f'the verdict "MAYBE", {NOT_IN}'),
        ("body", answering("PAS"), f'verdict "PAS", {NOT_IN}; did you mean \'PASS\'?'),
        ("body", answering("PASS\n"), f'verdict "PASS\\n", {NOT_IN}'),
        ("body", answering(None), f"the verdict null, {NOT_IN}"),
        ("body", answering({"word": "PASS"}), f'verdict {{"word":"PASS"}}, {NOT_IN}'),
        ("body", answering({"out": "PASS", "parts": {}}), NOT_IN),
        ("body", answering(Outcome("passed", AS_EMITTED), Final("NO")), f'"NO", {NOT_IN}'),
        ("part", answering("PASS"), NO_PART),
        ("part", answering("PASS", Artifact("other", "PASS")), NO_PART),
        ("part", answering({"out": 1, "parts": {"verdict": "PASS"}}), NO_PART),
        ("part", answering("PASS", PASS, MAYBE), f'the verdict "MAYBE", {NOT_IN}'),
        ("part", answering("PASS", Artifact("verdict", ["PASS"])), f'["PASS"], {NOT_IN}'),
    ],
)  # fmt: skip
def test_another_answer_fails_with_the_rule_and_the_nearest_word(
    ran: Ran, channel: str, script: Script, text: str
) -> None:
    assert text in failure(ran(channel, script))


def test_an_answer_that_is_blocked_is_not_held_to_the_contract(ran: Ran) -> None:
    made = ran("body", answering(Outcome("blocked", "MAYBE")))

    assert [event[0] for event in made.events()][-2:] == ["blocked", "run_failed"]


def test_a_retry_may_answer_better_unless_the_policy_says_no(ran: Ran) -> None:
    def second(call: StepCall) -> str:
        return "PASS" if call.attempt == 2 else "MAYBE"

    again = Retry(max_attempts=2, base_ms=0)
    assert ran("body", second, retry=again).final()["v"] == "PASS"

    never = replace(again, never=("VerdictRejected",))
    assert NOT_IN in failure(ran("body", second, retry=never))


def test_lanes_of_a_batch_are_held_to_the_contract_too(ran: Ran) -> None:
    flow = fanout(
        lit(["PASS", "NO", "REJECT"]),
        step("judge", at("$.item"), "$.v"),
        join="all_settled",
    )
    made = ran("body", lambda call: call.input, flow)

    texts = [event[4] for event in made.events() if event[0] == "failed"]
    assert len(texts) == 1
    assert NOT_IN in texts[0]
