"""Nodes know the line of their call, and take only what they can hold."""

import inspect
import re

import pytest

from engine.blueprint.findings.diagnostics import resolve_place
from engine.build import (
    Blueprint,
    Limit,
    Retry,
    branch,
    ctx,
    fanout,
    let,
    loop,
    seq,
    step,
)
from engine.flow.errors import place_step


def work(topic):
    return topic


def other_work(topic):
    return topic


def test_each_node_has_the_line_of_its_call():
    first = inspect.currentframe().f_lineno + 1
    flow = seq(
        loop(ctx.more, max=3, counter=ctx.n, body=seq(
            step("a", ctx.x, out=ctx.y),
        )),
        let(ctx.done, True),
    )  # fmt: skip
    blueprint = Blueprint("lines", flow)

    found = {}
    for keys, file, line in blueprint.lines():
        place = "$" + "".join(
            f"[{key}]" if isinstance(key, int) else place_step(key) for key in keys
        )
        part = resolve_place(blueprint.document, place)
        found[part.get("kind", place), line - first] = file
    assert found == {
        ("seq", 0): __file__,
        ("loop", 1): __file__,
        ("seq", 1): __file__,
        ("step", 2): __file__,
        ("let", 4): __file__,
        ("$", 6): __file__,
    }


def test_a_part_that_is_no_node_is_refused():
    with pytest.raises(TypeError, match=r"^seq: children: expected a node"):
        seq(ctx.a)
    with pytest.raises(TypeError, match=r"^branch: then: expected a node"):
        branch(ctx.a, then="later")


def test_a_function_is_an_agent_by_being_named():
    blueprint = Blueprint(
        "functions",
        seq(step(work, ctx.a, out=ctx.b), step(work, ctx.b, out=ctx.c)),
        retry={work: Retry(max_attempts=2)},
    )
    name = f"{__name__}:work"

    assert blueprint.document["agents"] == [
        {
            "name": name,
            "kind": "python_fn",
            "spec": {"fn": name},
            "retry": {"max_attempts": 2},
        }
    ]


def closure():
    def inner(topic):
        return topic

    return inner


def _private(topic):
    return topic


class Shop:
    @staticmethod
    def sell(topic):
        return topic


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (lambda topic: topic, "a lambda has no name"),
        (closure(), "defined inside another function"),
        (_private, "is private"),
        (Shop.sell, "is a method"),
        (Shop, "an agent is a function or the name of one"),
        (3, "an agent is a function or the name of one, got 3"),
    ],
)
def test_a_function_that_no_worker_can_import_is_refused(function, rule):
    with pytest.raises(TypeError, match=rule):
        step(function, ctx.a, out=ctx.b)


def test_two_functions_of_one_name_are_refused():
    def another(topic):
        return topic

    another.__qualname__ = "work"
    flow = seq(step(work, ctx.a, out=ctx.b), step(another, ctx.a, out=ctx.b))
    with pytest.raises(TypeError, match=r"two functions are named .*:work; rename one"):
        Blueprint("two", flow)


def test_a_function_that_another_one_hides_is_refused(monkeypatch):
    blueprint = Blueprint("hidden", step(work, ctx.a, out=ctx.b))
    blueprint.check()
    monkeypatch.setitem(globals(), "work", other_work)

    with pytest.raises(TypeError, match=r"a worker would import the other one"):
        blueprint.check()


def test_a_policy_names_an_agent_of_the_flow():
    with pytest.raises(
        TypeError, match=r"retry names '.*:other_work', but no step does"
    ):
        Blueprint(
            "policy",
            step(work, ctx.a, out=ctx.b),
            retry={other_work: Retry(max_attempts=2)},
        )


def test_a_limit_is_an_expression_and_a_number():
    blueprint = Blueprint(
        "limit", step(work, ctx.a, out=ctx.b), limit={work: Limit(ctx.input.key, 3)}
    )

    assert blueprint.document["agents"][0]["limit"] == {
        "key": {"op": "path", "at": "$.input.key"},
        "max": 3,
    }


def test_a_flow_that_is_nested_too_deeply_is_refused():
    flow = seq()
    for _ in range(2000):
        flow = seq(flow)

    with pytest.raises(TypeError, match=r"'deep' is nested too deeply"):
        Blueprint("deep", flow)


def test_a_misspelt_word_names_the_right_one():
    joined = {"bind": ctx.x, "body": step("a", ctx.x, out=ctx.y), "out": ctx.z}
    with pytest.raises(ValueError, match=r"^fanout: join: 'al' is no join; .*'all'\?$"):
        fanout(ctx.xs, join="al", **joined)
    with pytest.raises(ValueError, match="known: all, all_settled, any, race"):
        fanout(ctx.xs, join="first", **joined)
    meant = f"but no step does; did you mean '{__name__}:work'"
    with pytest.raises(TypeError, match=re.escape(meant)):
        Blueprint("b", step(work, 1, out=ctx.a), retry={"wrk": Retry(max_attempts=2)})
