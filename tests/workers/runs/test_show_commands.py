"""`manage.py runs list|show|logs` of a run whose lane 3 has failed."""

import json
import logging
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from flow_documents import at, fanout, lit, seq, step
from rig import QUEUE, deliver_all

from blueprints.models import Run
from blueprints.services.runs import Launch
from engine.agents import agent_function
from engine.blueprint import Program
from engine.blueprint.program import Agent, Retry
from engine.ports import Watch
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.runs.launch import launch
from workers.wiring import make_engine

pytestmark = pytest.mark.django_db(transaction=True)

LANES = 40
FLOW = seq(
    {**step("list", lit(LANES), "$.rows"), "name": "list"},
    fanout(
        at("$.rows"),
        {**step("grade", at("$.item"), "$.item"), "name": "grade"},
        select=at("$.item"),
    ),
)


@agent_function("show-rows")
def rows(count: Any, *, step: Any) -> Any:
    logging.getLogger("blueprints.samples.functions").warning("%d rows", count)
    return [{"id": n} for n in range(count)]


@agent_function("show-grade")
def grade(row: Any, *, step: Any) -> Any:
    if row["id"] == 3:
        raise KeyError("text")
    return row["id"]


def ran(store: RedisStore) -> Run:
    """Work off a run and archive it."""
    agents = {
        "list": Agent("list", "python_fn", QUEUE, 5000, spec={"fn_id": "show-rows"}),
        "grade": Agent(
            "grade", "python_fn", QUEUE, 5000, spec={"fn_id": "show-grade"},
            retry=Retry(max_attempts=2, base_ms=0),
        ),
    }  # fmt: skip
    run = launch(store, Launch(Program("b", FLOW, agents, dialect="swarm"), {}))
    engine = make_engine(frozenset({QUEUE, "swarm.engine"}), Watch())
    try:
        deliver_all(store, engine)
    finally:
        engine.store.wire.close()
    Archiver(store).turn()
    run.refresh_from_db()
    return run


def printed(capsys: Any, *args: str) -> str:
    call_command("runs", *args)
    return str(capsys.readouterr().out)


def test_the_failed_lane_is_found_with_its_input_and_traceback(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store)
    assert run.status == "failed"
    page = printed(capsys, "show", "latest")
    assert "  at grade[lane 3]  (/children/1/lane[3])" in page
    assert "KeyError: 'text'" in page
    assert page.endswith(f"runs show {run.pk} 'grade[lane 3]'\n")

    for name in ("grade[lane 3]", "/children/1/lane[3]"):
        page = printed(capsys, "show", run.pk[:-3], name)
        assert page.startswith("step  grade[lane 3]  failed")
        assert page.count(", in grade\n") == 2
        assert "attempt 1  failed" in page
        assert '      "id": 3' in page
        assert "input: as in attempt 1" in page
    got = json.loads(printed(capsys, "show", run.pk, "grade[lane 3]", "--json"))
    assert [one["input"] for one in got["attempts"]] == [{"id": 3}] * 2
    assert got["attempts"][1]["traceback"].endswith("KeyError: 'text'\n")
    whole = json.loads(printed(capsys, "show", run.pk, "--json"))
    assert whole["error"]["name"] == "grade[lane 3]"
    assert {one["name"] for one in whole["steps"]} >= {"list", "grade[lane 0]"}


def test_a_step_that_passed_shows_its_output_and_its_log(
    store: RedisStore, capsys: Any
) -> None:
    ran(store)
    page = printed(capsys, "show", "latest", "list")
    assert "  input:\n    40\n" in page
    assert '    "id": 0' in page
    assert "\nctx before\n    {}\n" in page
    assert '\nctx after\n    {\n      "rows": [\n' in page
    assert page.splitlines()[-1].endswith("attempt 1  WARNING 40 rows")
    log = printed(capsys, "logs", "latest", "-f")
    assert log.splitlines()[0].endswith("  list  WARNING 40 rows")
    assert "grade[lane 3]  raised at" in log
    first = json.loads(printed(capsys, "logs", "latest", "--json").splitlines()[0])
    assert (first["name"], first["text"]) == ("list", "WARNING 40 rows")


def test_a_name_of_many_steps_lists_the_failed_one_first(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store)
    lines = printed(capsys, "show", "latest", "grade").splitlines()
    assert lines[1].startswith("  ✘ grade[lane 3]")
    assert f"runs show {run.pk} 'grade[lane 3]'" in lines[-1]
    for text, hint in (
        ("grad", "; did you mean 'grade'?"),
        ("grade[lane 8000]", "; the step 'grade' has no such visit"),
        ("grad[lane 3]", "; did you mean 'grade'?"),
        ("xyz", " that has begun; list"),
    ):
        with pytest.raises(CommandError) as refused:
            call_command("runs", "show", "latest", text)
        assert f"has no step {text!r}" in str(refused.value)
        assert hint in str(refused.value)


def test_a_failed_run_is_not_continued_and_is_named_also_with_quiet(
    store: RedisStore, capsys: Any
) -> None:
    run = ran(store)
    with pytest.raises(SystemExit) as ended:
        call_command("runs", "resume", run.pk)
    assert ended.value.code == 1
    text = "it has ended already and is not continued; `run FILE` starts a new one"
    assert f"run {run.pk} failed: {text}\n" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call_command("runs", "resume", run.pk, "--quiet")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].endswith(f"runs show {run.pk} 'grade[lane 3]'")
    assert not any("not continued" in line for line in lines)


def test_runs_are_found_by_the_beginning_of_their_ids_and_filtered(
    store: RedisStore, capsys: Any
) -> None:
    with pytest.raises(CommandError, match="there are no runs yet"):
        call_command("runs", "show", "latest")
    first, second = ran(store), ran(store)
    assert printed(capsys, "show", "latest").startswith(f"run {second.pk}")
    assert printed(capsys, "show", first.pk[2:]).startswith(f"run {first.pk}")
    with pytest.raises(CommandError, match=f"several runs begin with R-0: {second.pk}"):
        call_command("runs", "show", "R-0")
    with pytest.raises(CommandError, match="no run begins with R-f"):
        call_command("runs", "show", "f")

    Run.objects.filter(pk=first.pk).update(status="done")
    failed = json.loads(printed(capsys, "list", "--failed", "--json"))["items"]
    assert [one["run"] for one in failed] == [second.pk]
    both = json.loads(printed(capsys, "list", "--blueprint", "b", "--json"))["items"]
    assert len(both) == 2
    assert "No run matches." in printed(capsys, "list", "--blueprint", "c")


def test_runs_by_a_wrong_id_name_what_is_wrong() -> None:
    for text, reason in (
        ("T-1", "is a task id"),
        ("R-" + "0" * 32, "no run begins with R-"),
    ):
        with pytest.raises(CommandError, match=reason) as refused:
            call_command("runs", "show", text)
        assert refused.value.returncode == 2
