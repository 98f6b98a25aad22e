"""Starting and ending worker processes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers import fleets, fleets_child


def test_who_waits_for_another_is_more_patient() -> None:
    keeper, guard = fleets_child.WARM_S, fleets_child.PATIENCE_S
    assert keeper + 2 < guard < fleets_child.STOP_S


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[fleets.Fleet]:
    """A fleet of one guard, which is a program that sleeps."""
    command, log = ["sleep", "60"], tmp_path / "log"
    guard = fleets.spawn_guard(command, {"PATH": os.environ["PATH"]}, log, keep=True)
    member = fleets.Member(
        command, {"PATH": os.environ["PATH"]}, log, keep=True, guard=guard
    )
    made = fleets.Fleet([member])
    yield made
    member.guard.kill()
    member.guard.wait()


def kill_guard(fleet: fleets.Fleet, *, after_s: float) -> None:
    """Kill a fleet's only guard, as if it had lived for some seconds."""
    [member] = fleet.members
    member.began -= after_s
    member.guard.kill()
    member.guard.wait()


def test_guards_killed_once_in_a_while_are_replaced_for_ever(
    fleet: fleets.Fleet,
) -> None:
    for _ in range(2 * fleets.TRIES):
        kill_guard(fleet, after_s=fleets.HEALTHY_S + 1)
        fleet.check()
        assert fleet.members[0].guard.poll() is None


def test_guards_killed_again_and_again_end_the_command(fleet: fleets.Fleet) -> None:
    for _ in range(fleets.TRIES - 1):
        kill_guard(fleet, after_s=1)
        fleet.check()
    kill_guard(fleet, after_s=1)
    with pytest.raises(fleets.SetupFailed, match="a worker keeps exiting"):
        fleet.check()
