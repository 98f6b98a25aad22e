"""A run driven from a terminal: its output when it is interrupted."""

import contextlib
import io
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.db import DatabaseError, transaction
from django.db.models.signals import post_save
from redis.exceptions import NoPermissionError

from blueprints.command_line import INTERRUPTED, REFUSED
from blueprints.models import Run
from blueprints.services.runs import Launch, run_create
from engine.blueprint import Program
from workers.fleet.prerequisites import SetupFailed
from workers.management.commands.runs import WATCHING
from workers.runs.control import resume_run
from workers.terminal.reporter import Reporter, resume_line
from workers.terminal.session import Session
from workers.wiring import make_store

FLOW = {"kind": "seq", "children": []}


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c_once_the_row_is_there() -> Iterator[None]:
    """Interrupt this process between the commit of a run's row and its launch."""

    def made(**_: Any) -> None:
        transaction.on_commit(press_ctrl_c)

    post_save.connect(made, sender=Run)
    yield
    post_save.disconnect(made, sender=Run)


@pytest.fixture
def ctrl_c_before_the_row_is_there() -> Iterator[None]:
    """Interrupt this process while a run's row is written."""

    def made(**_: Any) -> None:
        press_ctrl_c()

    post_save.connect(made, sender=Run)
    yield
    post_save.disconnect(made, sender=Run)


def interrupted(*, as_json: bool) -> tuple[int, str, str, str]:
    """Return exit code, both outputs and the run's id of a session without workers."""
    out, err = io.StringIO(), io.StringIO()
    launch = Launch(Program("b", FLOW, {}), {})
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        session = Session({**WATCHING, "json": as_json, "run": "latest"})
        code = session.drive(launch)
    return code, out.getvalue(), err.getvalue(), launch.run_id


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_url", "ctrl_c_once_the_row_is_there")
@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_between_row_and_launch_reports_the_line_that_resumes_the_run(
    as_json: bool,
) -> None:
    code, out, err, run_id = interrupted(as_json=as_json)

    line = f"python manage.py runs resume {run_id}"
    assert code == INTERRUPTED
    assert err.splitlines()[-1].strip() == line
    if as_json:
        got = json.loads(out)
        assert (got["run"], got["status"]) == (run_id, "pending")
        assert line in got["error"]["text"]
    # What the line does: the run waits for a steward to start it.
    store = make_store()
    assert store.head(run_id) is None
    assert resume_run(store, Run.objects.get(pk=run_id)).pk == run_id


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_url", "ctrl_c_before_the_row_is_there")
def test_ctrl_c_before_the_row_reports_that_no_run_was_started() -> None:
    code, _, err, _ = interrupted(as_json=False)

    assert code == INTERRUPTED
    assert err == "Interrupted. No run was started.\n"
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            NoPermissionError("User x has no permissions to run 'xadd'"),
            "NoPerm",
            "lacks a right",
        ),
        (redis.ConnectionError("gone"), "RedisUnreachable", "does not answer any more"),
        (
            DatabaseError("locked\nmore"),
            "DatabaseFailed",
            "The database failed (locked)",
        ),
        (SetupFailed("no room"), "SetupFailed", "no room"),
    ],
)
@pytest.mark.django_db
def test_what_fails_meanwhile_is_one_line_and_one_object(
    error: Exception, kind: str, text: str
) -> None:
    out, err = io.StringIO(), io.StringIO()

    code = Reporter(out, err, as_json=True).failed(error)

    assert code == REFUSED
    assert text in err.getvalue()
    assert err.getvalue().count("\n") == 1
    assert json.loads(out.getvalue())["error"]["kind"].startswith(kind)


@pytest.mark.django_db
def test_a_run_that_fails_meanwhile_is_reported_with_the_line_that_resumes_it() -> None:
    err = io.StringIO()
    run = run_create(Launch(Program("b", FLOW, {}), {}))
    reporter = Reporter(io.StringIO(), err, as_json=False)
    reporter.run_id = run.pk

    reporter.failed(redis.ConnectionError("gone"))
    assert f"When it answers again, resume the run with: {resume_line(run.pk)}" in (
        err.getvalue()
    )
    # A row whose launch was refused is no run to carry on.
    reporter.failed(SetupFailed("no room"))
    assert err.getvalue().endswith("no room\n")
    reporter.began = True
    reporter.failed(SetupFailed("no room"))
    assert err.getvalue().endswith(
        f"The run stays open. Resume it with: {resume_line(run.pk)}\n"
    )
