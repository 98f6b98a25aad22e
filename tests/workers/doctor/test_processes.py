"""The doctor's checks of child processes, with real children that exceed limits."""

import contextlib
import resource
from collections.abc import Iterator
from typing import Any

import pytest

from workers.doctor.processes import (
    PROBES,
    check_ceilings,
    check_launcher,
    check_limits,
    check_secrets,
    child_processes,
)
from workers.process.runner import ProcessRunner


@pytest.fixture
def runner() -> Iterator[ProcessRunner]:
    with contextlib.closing(ProcessRunner()) as made:
        yield made


def test_a_host_that_enforces_everything_is_reported() -> None:
    found = list(child_processes())
    assert [(f.name, f.level) for f in found] == [
        ("launcher", "ok"),
        ("child limits", "ok"),
        ("secrets", "ok"),
    ]
    assert found[1].text == "enforced: CPU time, memory, open files, file size"


def test_a_launcher_that_cannot_be_started_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    found = list(child_processes())
    assert [f.level for f in found] == ["fail"]
    assert found[0].text.startswith("can't be started: ")


@pytest.mark.slow
def test_a_limit_that_is_not_enforced_is_named(
    runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Limits are taken out on their way, as a host without them would.
    monkeypatch.setattr("workers.process.runner.ChildLimits.rlimits", lambda self: [])
    found = list(check_limits(runner))
    assert {f.level for f in found} == {"warn"}
    assert [f.text.split(" (")[0] for f in found] == [probe.name for probe in PROBES]
    assert found[1].text == (
        "memory (SWARM_CHILD_MEMORY) is not enforced on this host: a child process may"
        " take as much as there is"
    )
    assert "in a container that has this limit" in found[1].hint


def test_a_setting_above_the_hosts_own_limit_is_named(settings: Any) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings.SWARM_CHILD_OPEN_FILES = hard + 1
    [found] = [f for f in check_ceilings() if "OPEN_FILES" in f.text]
    assert found.level == "warn"
    assert found.text == (
        f"SWARM_CHILD_OPEN_FILES is {hard + 1}, this host allows {hard}"
    )


def test_a_host_on_which_a_child_reads_its_workers_secrets_is_reported(
    runner: ProcessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the kernel reported everything.
    monkeypatch.setattr("workers.doctor.processes.PEEK", "print('seen', %d)")
    found = check_secrets(runner)
    assert found.level == "warn"
    assert "every secret in it" in found.text


def test_the_launcher_sweeps_what_a_child_leaves(runner: ProcessRunner) -> None:
    assert check_launcher(runner).level == "ok"
