"""A Blueprint that Python has built, run with scripted agents and its own functions."""

from dataclasses import dataclass

import pytest

from engine.agents import AgentFailed, blocked
from engine.build import Blueprint, Retry, branch, ctx, let, loop, not_, seq, step, try_
from engine.testing import STORM, run_blueprint


def draft(topic, words):
    return f"{words} words about {topic}"


def judge(text):
    return "tea" in text


async def publish(text, *, step):
    return [step.agent, step.attempt, text]


@pytest.fixture
def essay():
    flow = seq(
        loop(
            not_(ctx.good),
            max=3,
            counter=ctx.round,
            body=seq(
                step(draft, {"topic": ctx.topic, "words": 200}, out=ctx.text),
                step(judge, ctx.text, out=ctx.good),
            ),
        ),
        branch(ctx.good, then=step(publish, ctx.text, out=ctx.url)),
    )
    retry = {draft: Retry(max_attempts=3)}
    return Blueprint("essay", flow, retry=retry, init_ctx={"good": False, "topic": "?"})


@pytest.mark.parametrize("chaos", [{}, {"chaos": STORM, "seed": 3}])
def test_functions_without_a_script_are_called_themselves(swarm_store, essay, chaos):
    result = run_blueprint(swarm_store, essay, ctx={"topic": "tea"}, **chaos)
    assert (result.status, result.error) == ("done", "")
    name = f"{__name__}:publish"
    assert result.ctx["url"][0] == name
    assert result.ctx["url"][2] == "200 words about tea"
    assert result.ctx["topic"] == "tea"


def test_scripts_answer_in_order_or_by_the_input(swarm_store, essay):
    result = run_blueprint(
        swarm_store,
        essay,
        agents={
            "draft": [OSError("away"), "coffee", "tea"],
            judge: lambda text: text == "tea",
            f"{__name__}:publish": ["a url"],
        },
    )
    assert result.ctx["url"] == "a url"
    assert result.ctx["round"] == 2
    # The first attempt has failed, and was made again.
    assert result.inputs(draft) == [{"topic": "?", "words": 200}] * 3
    assert result.inputs("judge") == ["coffee", "tea"]


def test_a_failure_is_the_error_of_the_run(swarm_store, essay):
    result = run_blueprint(swarm_store, essay, agents={draft: []})
    assert (result.status, result.ctx["topic"]) == ("failed", "?")
    assert "the script has no more answers" in result.error
    failing = {"draft": lambda value: _raise(AgentFailed("never", permanent=True))}
    result = run_blueprint(swarm_store, essay, agents=failing)
    assert "never" in result.error
    assert len(result.inputs("draft")) == 1


def test_a_blocked_answer_blocks(swarm_store):
    flow = try_(step(judge, 1, out=ctx.a), catch=let(ctx.caught, True))
    made = Blueprint("blocks", flow)
    result = run_blueprint(swarm_store, made, agents={"judge": [blocked("no")]})
    assert result.ctx == {"caught": True}


@pytest.mark.parametrize(
    ("agents", "rule"),
    [
        ({"drafd": []}, "no agent is named 'drafd'"),
        ({"judge": "yes"}, "the script of 'judge': expected a list of answers"),
    ],
)
def test_a_script_that_is_of_no_use_is_refused(swarm_store, essay, agents, rule):
    with pytest.raises((ValueError, TypeError), match=rule):
        run_blueprint(swarm_store, essay, agents=agents)


def test_an_agent_of_another_kind_needs_a_script(swarm_store):
    lua = {"name": "count", "kind": "lua", "spec": {"source": "return 1"}}
    made = Blueprint("counts", step("count", 1, out=ctx.n), agents=[lua])
    with pytest.raises(ValueError, match="'count' is no function: give it a script"):
        run_blueprint(swarm_store, made)
    assert run_blueprint(swarm_store, made, agents={"count": [7]}).ctx == {"n": 7}


def _raise(error):
    raise error


@dataclass
class Order:
    topic: str


def typed(order: Order):
    return order.topic.upper()


def review(text, *, step):
    step.artifact("verdict", "REJECT")
    return text


def look_up(key):
    return {"YES": 1}[key]


def test_parts_of_a_function_are_folded_as_in_a_run(swarm_store):
    flow = seq(
        step(review, "tea", out=ctx.review),
        let(ctx.verdict, ctx.review.parts.verdict),
    )
    result = run_blueprint(swarm_store, Blueprint("parts", flow)).check()
    assert result.ctx["review"] == {"out": "tea", "parts": {"verdict": "REJECT"}}
    assert result.ctx["verdict"] == "REJECT"


def test_a_typed_parameter_is_converted_or_refused_for_good(swarm_store):
    made = Blueprint("typed", step(typed, ctx.order, out=ctx.got))
    result = run_blueprint(swarm_store, made, ctx={"order": {"topic": "tea"}})
    assert result.check().ctx["got"] == "TEA"
    result = run_blueprint(swarm_store, made, ctx={"order": {"topic": 7}})
    assert f"the input does not fit '{__name__}:typed': $.topic: " in result.error
    assert len(result.inputs(typed)) == 1


def test_an_error_of_a_function_has_its_type_its_line_and_the_ctx(swarm_store):
    flow = seq(let(ctx.begun, True), step(look_up, "PAS", out=ctx.got))
    made = Blueprint("fails", flow, retry={look_up: Retry(max_attempts=1)})
    result = run_blueprint(swarm_store, made)
    text = f"dispatcher error for ref '{__name__}:look_up': KeyError: 'PAS'"
    assert (result.error, result.ctx) == (text, {"begun": True})
    line = look_up.__code__.co_firstlineno + 1
    assert f"{text}, raised at " in repr(result)
    assert repr(result).endswith(f"test_blueprint_runs.py:{line} in look_up>")
    with pytest.raises(AssertionError, match="the run is failed") as caught:
        result.check()
    assert isinstance(caught.value.__cause__, KeyError)
