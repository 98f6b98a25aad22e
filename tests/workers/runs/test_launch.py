"""Launching: what refuses a run before anything of it is written."""

from pathlib import Path
from typing import Any

import pytest
from flow_documents import seq
from rig import QUEUE, Rig, step

from blueprints.models import Run, Task
from blueprints.selectors.programs import run_program
from blueprints.services.runs import Launch
from engine.blueprint.program import Agent, Program
from engine.store.base import Claimed, Ref
from engine.store.redis import STATE
from workers.archive.archiver import Archiver
from workers.runs.launch import LaunchRefused, launch

pytestmark = pytest.mark.django_db


def history(rig: Rig) -> int:
    """Make 40 runs of a few entries each; the journal's size in bytes."""
    for _ in range(40):
        rig.launch(seq(step(), step(), step()), {"n": "x" * 200})
    rig.work_off()
    return rig.store.journal_bytes()


def test_a_journal_that_is_too_long_refuses_launches(rig: Rig, settings: Any) -> None:
    settings.SWARM_JOURNAL_LIMIT = history(rig) // 2

    with pytest.raises(LaunchRefused, match=r"more than SWARM_JOURNAL_LIMIT \(\d+\)"):
        rig.launch(seq())
    assert Run.objects.count() == Task.objects.count() == 40


def test_what_is_archived_does_not_count(rig: Rig, settings: Any) -> None:
    size = history(rig)
    Archiver(rig.store).turn()
    # It stays a while for those who follow it live.
    assert rig.store.journal_bytes() >= size
    settings.SWARM_JOURNAL_LIMIT = size // 2

    run = rig.launch(seq(step()))

    assert rig.store.head(run.pk) is not None
    assert [entry.run for entry in rig.store.journal("0", 10)] == [run.pk]


def test_the_archiver_makes_room_before_the_journal_is_full(
    rig: Rig, settings: Any
) -> None:
    size = history(rig)
    settings.SWARM_JOURNAL_LIMIT = size + size // 2
    Archiver(rig.store).turn()
    assert rig.store.wire.call("XLEN", f"{STATE}j") == 0


def test_the_first_attempt_is_bounded_by_the_settings_without_a_limit_of_its_agent(
    rig: Rig, settings: Any
) -> None:
    settings.SWARM_ATTEMPT_TIMEOUT = 7.5
    agent = Agent("echo", "python_fn", QUEUE, None)

    run = launch(rig.store, Launch(Program("b", step(), {"echo": agent}), {"n": 1}))

    claimed = rig.store.claim(Ref(run.pk, 1, "0"), "n" * 12, QUEUE)
    assert isinstance(claimed, Claimed)
    assert claimed.record.timeout_ms == 7_500


def test_a_launch_records_the_folder_that_it_names(rig: Rig) -> None:
    run = rig.launch(step(), {"n": 1, "work_dir": "some/folder"})
    recorded = run_program(run).agents["echo"].work_dir
    assert recorded == str(Path.cwd() / "some/folder")
    for nothing in ({"n": 1}, {"n": 1, "work_dir": ""}, {"n": 1, "work_dir": 5}):
        run = rig.launch(step(), nothing)
        assert run_program(run).agents["echo"].work_dir is None
