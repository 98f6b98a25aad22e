"""docs/limits.md: every limit is on the page, and every test it names exists."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError, CommandParser

from engine.blueprint import BlueprintInvalid, compile_blueprint
from engine.flow import (
    FlowError,
    evaluate,
    evaluate_expr,
    parse_expr,
    parse_node,
    parse_path,
)
from engine.run.drive.load import Loader
from engine.run.drive.start import start_of
from engine.run.drive.turn import Budget
from engine.run.limits import Limits
from engine.store.base import ENGINE_QUEUE, Claimed, Ref
from engine.store.redis import RedisStore
from swarm_project.celery import app
from workers.terminal.session import add_concurrency

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "limits.md"
SHOWN = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[^)]+)\)")
# Settings that bound something, by how their names end.
BOUND = re.compile(
    r"\bSWARM_(?:\w*(?:LIMIT|TIMEOUT|DEADLINE|BUDGET|BUDGET_S|WINDOW|BATCH|LOST|LEASE)"
    r"|CHILD_(?!ENV)\w+|LUA_(?:TIME|MEMORY|MEMORY_MAX))\b"
)


def rows() -> list[str]:
    text = PAGE.read_text().partition("\n## Only shown\n")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| what |")]


@pytest.mark.parametrize("row", rows(), ids=[row[2:42] for row in rows()])
def test_a_limit_names_tests_that_exist(row: str) -> None:
    named = SHOWN.findall(row)
    assert named, "no test shows it"
    for test, path in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.M), test


@pytest.mark.parametrize("row", rows(), ids=[row[2:42] for row in rows()])
def test_a_limit_has_all_its_columns(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    assert all((cells[0], cells[2], cells[3]))


def test_every_setting_that_bounds_something_is_on_the_page() -> None:
    settings = (ROOT / "swarm_project" / "settings.py").read_text()
    table = "\n".join(rows())
    assert set(BOUND.findall(settings)) - set(BOUND.findall(table)) == set()
    assert len(set(BOUND.findall(settings))) > 10


def test_a_flow_that_loops_ends_at_its_max() -> None:
    at: Any = {"op": "path", "at": "$.n"}
    body = {"kind": "step", "ref": "inc", "in": at, "out": at}
    loop = {
        "kind": "loop",
        "counter": {"op": "path", "at": "$.i"},
        "cond": {"op": "lit", "value": True},
        "body": body,
        "max": 3,
    }
    ctx = evaluate(parse_node(loop), {"n": 0}, lambda ref, value: value + 1)
    assert ctx["n"] == 3
    with pytest.raises(Exception, match="4294967295"):
        parse_node({**loop, "max": 2**32})


STEP = {"kind": "seq", "children": []}
FN = {"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}


@pytest.mark.parametrize(
    ("place", "good", "bad"),
    [
        ("agents[0].name", "x" * 128, "x" * 129),
        ("id", "x" * 128, "x" * 129),
        ("agents[0].spec.fn_id", "x" * 256, "x" * 257),
        ("hints.per_agent.a.queue", "q" * 64, "q" * 65),
        ("hints.per_agent.a.limit.max", 100_000, 100_001),
        ("hints.per_agent.a.timeout_s", 366 * 24 * 3600, 366 * 24 * 3600 + 1),
        ("agents[0].spec.mcp_rpc_timeout_ms", 3_600_000, 3_600_001),
    ],
)
def test_names_and_numbers_of_a_blueprint_are_bounded(
    place: str, good: Any, bad: Any
) -> None:
    def document(value: Any) -> Any:
        key = place.rpartition(".")[2]
        at = {"op": "path", "at": "$.x"}
        agent: dict[str, Any] = {**FN, "spec": {"fn_id": "identity"}}
        if key == "mcp_rpc_timeout_ms":
            agent = {"name": "a", "kind": "agent_block", "spec": {key: value}}
        made: dict[str, Any] = {"id": "b", "flow": STEP, "agents": [agent]}
        if place.startswith("hints"):
            hint = {"key": at, "max": value} if key == "max" else value
            made["hints"] = {
                "per_agent": {"a": {"limit" if key == "max" else key: hint}}
            }
        elif key == "id":
            made["id"] = value
        elif key == "name":
            agent["name"] = value
        elif key == "fn_id":
            agent["spec"]["fn_id"] = value
        return made

    kinds = ["python_fn", "agent_block"]
    compile_blueprint(document(good), kinds=kinds)
    with pytest.raises(BlueprintInvalid, match=re.escape(place)):
        compile_blueprint(document(bad), kinds=kinds)


@pytest.mark.slow
def test_one_expression_visits_a_million_elements() -> None:
    ctx: Any = {"a": [0] * 1_000_001}
    some = {
        "op": "any",
        "in": {"op": "path", "at": "$.a"},
        "as": "$.x",
        "cond": {"op": "lit", "value": False},
    }
    expr = parse_expr(some, dialect="swarm")
    with pytest.raises(FlowError, match="more than 1000000 elements"):
        evaluate_expr(expr, ctx)
    ctx["a"].pop()
    assert evaluate_expr(expr, ctx) is False


def test_one_expression_makes_a_bounded_text() -> None:
    def joined(length: int) -> Any:
        text = {"op": "lit", "value": "x" * (length // 2)}
        return {"op": "template", "parts": [{"op": "path", "at": "$.e"}, text, text]}

    ctx = {"e": ""}
    made = evaluate_expr(parse_expr(joined(8 << 20), dialect="swarm"), ctx)
    assert len(made) == 8 << 20
    with pytest.raises(FlowError, match="more than 8388608 characters"):
        evaluate_expr(parse_expr(joined((8 << 20) + 2), dialect="swarm"), ctx)


def test_an_expression_as_text_is_short_and_shallow() -> None:
    longest = "'" + "x" * (2**14 - 2) + "'"
    assert parse_expr(longest, "swarm").to_json()["op"] == "lit"
    with pytest.raises(FlowError, match="at most 16384 characters, got 16385"):
        parse_expr(longest + " ", "swarm")
    assert parse_expr("1" + " + 1" * 48, "swarm")
    for text in ("1" + " + 1" * 50, "(" * 50 + "1" + ")" * 50, "not " * 50 + "$"):
        with pytest.raises(FlowError, match="deeper than 50 levels"):
            parse_expr(text, "swarm")


def test_an_index_has_nine_digits() -> None:
    assert parse_path("$.a[123456789]", dialect="swarm").keys[1] == 123456789
    with pytest.raises(FlowError, match="at most 9 characters"):
        parse_path("$.a[1234567890]", dialect="swarm")


def test_a_transition_has_a_minute(swarm_store: RedisStore) -> None:
    store = swarm_store
    assign = {"kind": "let", "at": "$.x", "value": {"op": "lit", "value": 1}}
    document = {"id": "b", "flow": assign, "agents": []}
    program = compile_blueprint(document, kinds=["python_fn"])
    ref = Ref("R-1", 1, "0")
    store.start(start_of(ref.run, 1, Loader(store).prepare(program), {}, 0))
    claimed = store.claim(ref, "a" * 12, ENGINE_QUEUE)
    assert isinstance(claimed, Claimed)
    assert claimed.record.deadline_ms == store.clock().now + 60_000


def test_a_delivery_begins_no_attempt_that_outlasts_its_message() -> None:
    budget = Budget(Limits(steps=10**6, seconds=10**6), timeout_ms=10_000, queue="q")
    assert budget.allows(39_000)
    assert not budget.allows(40_001)


def test_celery_replaces_children_as_the_page_lists() -> None:
    assert app.conf.worker_max_tasks_per_child == 10_000
    assert app.conf.worker_max_memory_per_child == 400_000


def test_a_command_starts_at_most_256_processes() -> None:
    parser = CommandParser(called_from_command_line=False)
    add_concurrency(parser, "")
    assert parser.parse_args(["--concurrency", "256"]).concurrency == 256
    with pytest.raises(CommandError, match="from 1 to 256"):
        parser.parse_args(["--concurrency", "257"])
