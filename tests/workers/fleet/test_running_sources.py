"""Which running workers have another source of functions than the one here."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blueprints.agent_sources import module_hashes
from engine.blueprint.program import Agent
from workers.fleet.records import (
    Held,
    Record,
    hold_record,
    records,
    serving,
    sources_file,
)
from workers.fleet.running_sources import (
    OtherSources,
    compare,
    enter,
    needs_of,
    publish_sources,
)

QUEUE = "swarm.python_fn"
SAMPLE = "blueprints.samples.functions"
FUNCTION = f"{SAMPLE}:draft"


@pytest.fixture
def fleet(tmp_path: Path, settings: Any) -> Iterator[Held]:
    """The record of a fleet, which this process holds."""
    settings.VAR_DIR = tmp_path
    held = hold_record(Record("up-1", "`up`", os.getpid(), (QUEUE,), shared=True))
    assert [one.name for one in records()] == ["up-1"]
    yield held
    held.release()
    assert records() == []


def run_of(*agents: Agent, queues: tuple[str, ...] = ()) -> Record:
    return Record("run-2", "`run f`", os.getpid(), queues, needs=needs_of(agents))


def agent(queue: str = QUEUE, **spec: str) -> Agent:
    return Agent("a", "python_fn", queue, 1, spec=spec or {"fn": FUNCTION})


def refusal(record: Record) -> str:
    with pytest.raises(OtherSources) as caught:
        compare(record)
    with pytest.raises(OtherSources):
        enter(record)
    return str(caught.value)


def test_workers_with_the_same_source_have_no_fault(fleet: Held) -> None:
    publish_sources(sources_file(fleet.record), module_hashes())
    compare(run_of(agent()))
    held = enter(run_of(agent(), queues=(QUEUE,)))
    assert [one.name for one in records()] == ["run-2", "up-1"]
    # It does the steps of its own run alone.
    assert [one.name for one in serving([QUEUE])] == ["up-1"]
    compare(run_of(agent()))
    held.release()


def test_another_source_and_none_are_told_by_function(fleet: Held) -> None:
    publish_sources(sources_file(fleet.record), module_hashes() | {SAMPLE: "another"})
    who = f"the workers of `up` (process {os.getpid()})"
    text = refusal(run_of(agent()))
    assert text.startswith(f"{who} have another source of {FUNCTION}. End them with: ")
    assert "SWARM_VAR" not in text
    # They take no steps of other queues, and identity is ours.
    compare(run_of(agent("own"), agent(fn_id="identity")))

    publish_sources(sources_file(fleet.record), {})
    text = refusal(run_of(agent()))
    assert text.startswith(f"{who} have no source of {FUNCTION}. ")


def test_workers_that_publish_nothing_have_no_source(fleet: Held) -> None:
    compare(run_of(agent(fn_id="identity")))
    assert "have no source of" in refusal(run_of(agent()))


def test_workers_are_not_started_beside_a_run_that_needs_other_sources(
    fleet: Held,
) -> None:
    publish_sources(sources_file(fleet.record), module_hashes())
    needs = {QUEUE: {"essay:draft": {"essay": "1"}, FUNCTION: {SAMPLE: "2"}}}
    other = hold_record(Record("run-3", "`run x`", os.getpid(), ("x",), needs=needs))
    worker = Record("worker-4", "the worker a@b", 4, (QUEUE,))
    text = refusal(worker)
    assert text.startswith(
        f"`run x` (process {os.getpid()}) has not ended, and workers started now would"
        f" have another source of {FUNCTION} and no source of essay:draft. Wait until"
    )
    assert "start this one with another SWARM_VAR" in text
    compare(Record("worker-4", "the worker a@b", 4, ("own",)))
    other.release()
    compare(worker)


def test_the_record_of_a_killed_process_is_ignored_and_removed(
    tmp_path: Path, settings: Any
) -> None:
    settings.VAR_DIR = tmp_path
    held = hold_record(Record("run-3", "`run x`", os.getpid(), (QUEUE,)))
    # As at the death of its process.
    held.pass_on()
    compare(run_of(agent()))
    assert list((tmp_path / "fleets").iterdir()) == []
