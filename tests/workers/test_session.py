"""A run driven from a terminal: what is said when it is interrupted."""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_save

from blueprints.models import Run
from engine.blueprint import Program
from engine.ids import new_id
from workers.management.commands.run import begin_run
from workers.management.commands.runs import take_up
from workers.runtime import make_store
from workers.session import INTERRUPTED, Session

sys.path.append(str(Path(__file__).parents[1] / "engine" / "store"))

from store_server import running_server

FLOW = {"kind": "seq", "children": []}


@pytest.fixture
def redis_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real server that settings and environment name."""
    with running_server() as socket:
        url = f"unix://{socket}?db=0"
        monkeypatch.setenv("SWARM_REDIS_URL", url)
        monkeypatch.setattr(settings, "SWARM_STATE_URL", url)
        yield url


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
    session = Session(out=out, err=err, as_json=as_json, concurrency=0)
    run_id = new_id("R")
    begin = partial(begin_run, program=Program("b", FLOW, {}), ctx={}, run_id=run_id)
    code = session.drive("run", [], begin, run_id=run_id)
    return code, out.getvalue(), err.getvalue(), run_id


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_url", "ctrl_c_once_the_row_is_there")
@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_between_row_and_launch_tells_the_line_that_resumes_the_run(
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
    assert take_up(store, Run.objects.get(pk=run_id)).pk == run_id


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_url", "ctrl_c_before_the_row_is_there")
def test_ctrl_c_before_the_row_says_that_no_run_was_started() -> None:
    code, _, err, _ = interrupted(as_json=False)

    assert code == INTERRUPTED
    assert err == "interrupted; no run was started\n"
    assert not Run.objects.exists()
