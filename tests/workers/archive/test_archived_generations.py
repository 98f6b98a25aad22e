"""Each generation of a run is archived by itself, also when the next one is under way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from flow_documents import seq
from rig import Rig, step

from blueprints.models import Run, RunEvent, RunGeneration, Step
from blueprints.selectors.run_generations import run_generations
from blueprints.services.run_generations import run_generation_open
from engine.store.base import generation_key
from workers.archive.archiver import Archiver
from workers.runs.launch import start_run

FLOW = seq(step("$.n"), step("$.m"), step("$.k"))
HOUR = timedelta(hours=1)


def open_next(run: Run, reason: str = "rerun") -> Run:
    """Open the next generation in the database."""
    return run_generation_open(run, reason, deadline_at=timezone.now() + HOUR)


def keys_of(rig: Rig, run: Run, gen: int) -> list[bytes]:
    """Return the keys of a generation, without the mark that it was there."""
    found: list[bytes] = rig.store.wire.call("KEYS", f"swarm:s:r:{run.pk}:{gen}:*")
    return found


@pytest.mark.django_db(transaction=True)
def test_the_rows_of_a_generation_stay_when_the_next_one_is_archived(rig: Rig) -> None:
    run = rig.launch(FLOW, {"n": 1, "m": 2, "k": 3})
    rig.work_off()
    archiver = Archiver(rig.store)
    archiver.turn()
    run.refresh_from_db()
    first = {"status": run.status, "result": run.result, "at": run.finished_at}
    assert first["status"] == "done"

    again = open_next(run)
    assert (again.generation, again.status, again.archived_number) == (2, "pending", 0)
    assert start_run(rig.store, again) == "ok"
    assert rig.store.finish(run.pk, 2, "failed", "by a test") == "ok"
    archiver.turn()

    again.refresh_from_db()
    assert (again.generation, again.status) == (2, "failed")
    assert again.error == {"kind": "RunFailed", "text": "by a test"} or again.error
    before = RunGeneration.objects.get(run=run, generation=1)
    kept = {"status": before.status, "result": before.result, "at": before.finished_at}
    assert kept == first
    assert [one.generation for one in run_generations(again)] == [1, 2]
    numbers = RunEvent.objects.filter(run=run).values_list("generation", "number")
    assert {gen for gen, _ in numbers} == {1, 2}
    assert Step.objects.filter(run=run, generation=1, status="passed").count() == 3
    assert keys_of(rig, run, 1) == keys_of(rig, run, 2) == []


@pytest.mark.django_db(transaction=True)
def test_entries_of_a_generation_are_archived_after_the_next_one_began(
    rig: Rig,
) -> None:
    run = rig.launch(FLOW, {"n": 1, "m": 2, "k": 3})
    rig.work_off(most=1, steps=1)
    assert rig.store.finish(run.pk, 1, "failed", "by a test") == "ok"
    # A recovery opens a generation before the entries of the last are archived.
    Run.objects.filter(pk=run.pk).update(status="interrupted")
    run.refresh_from_db()
    again = open_next(run, "recovery")
    assert start_run(rig.store, again) == "ok"
    rig.work_off()
    Archiver(rig.store).turn()

    again.refresh_from_db()
    assert (again.generation, again.status) == (2, "done")
    before = RunGeneration.objects.get(run=run, generation=1)
    assert before.status == "failed"
    assert before.archived_number > 0
    by_generation = {
        gen: set(
            Step.objects.filter(run=run, generation=gen).values_list(
                "status", flat=True
            )
        )
        for gen in (1, 2)
    }
    assert by_generation == {1: {"passed", "cancelled"}, 2: {"passed"}}
    assert keys_of(rig, run, 1) == keys_of(rig, run, 2) == []
    assert rig.store.head_of(generation_key(run.pk, 1)) is None


@pytest.mark.django_db(transaction=True)
def test_a_run_that_goes_on_opens_no_generation(rig: Rig) -> None:
    run = rig.launch(FLOW)
    with pytest.raises(ValueError, match="only a run that has ended"):
        open_next(run)
    rig.work_off()
    Archiver(rig.store).turn()
    run.refresh_from_db()
    stale = Run.objects.get(pk=run.pk)
    open_next(run)
    with pytest.raises(ValueError, match="generation 2"):
        open_next(stale)
    assert RunGeneration.objects.count() == 1
