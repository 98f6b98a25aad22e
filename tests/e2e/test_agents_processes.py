"""Agents that fork, start processes or break their worker's: real workers, real runs."""

import json
import time
from typing import Any

import pytest
from command_shell import Shell
from flow_documents import at, lit, seq, step

pytestmark = pytest.mark.slow


def ran(
    shell: Shell, *steps: tuple[str, Any], tried: bool = False, **env: str
) -> dict[str, Any]:
    """Run agent functions one after the other, each with its input; the final Ctx."""
    children = [
        step(name, lit(value), f"$.{name}{number}")
        for number, (name, value) in enumerate(steps)
    ]
    agents = [
        {"name": name, "kind": "python_fn", "spec": {"fn_id": f"e2e-{name}"}}
        for name in sorted({name for name, _ in steps})
    ]
    if tried:
        children = [
            {"kind": "try", "body": one, "catch": seq(), "err_at": at(f"$.why{number}")}
            for number, one in enumerate(children)
        ]
    file = shell.write(seq(*children), agents=agents)
    assert shell.run("run", file, "--concurrency", "1", **env) == 0, shell.err
    found: dict[str, Any] = json.loads(shell.out)
    return found


def test_functions_fork_and_use_multiprocessing_in_a_pools_child(shell: Shell) -> None:
    ctx = ran(shell, ("fork", None), ("squares", [-1, -2, 3]), ("fork", None))

    assert ctx == {
        "fork0": "from the parent",
        "squares1": [1, 2, 3],
        "fork2": "from the parent",
    }
    assert shell.err.count("passed") == 3


def test_a_lost_step_names_how_its_worker_died_long_before_a_lease_is_over(
    shell: Shell,
) -> None:
    began = time.monotonic()
    few = {"SWARM_LEASE": "15", "SWARM_MAX_LOST": "1"}
    ctx = ran(shell, ("die", -9), ("die", 70), tried=True, **few)

    lost = "lost after 2 attempts, the last worker"
    assert ctx["why0"].endswith(f"{lost} was ended by signal 9 (SIGKILL)")
    assert ctx["why1"].endswith(f"{lost} ended with exit code 70")
    # A lease for each of the four would be a minute; the steward watches for one.
    assert time.monotonic() - began < 55


def test_a_function_that_closes_descriptors_breaks_no_later_step(shell: Shell) -> None:
    """The first few, then all: its connection to Redis and its worker's pipes, too."""
    quick = ("nap", 0)
    steps = [("close", [0, 3]), quick, ("squares", [-1]), ("close", [0, 400]), quick]
    ctx = ran(shell, *steps, ("squares", [-2]), ("close", [3, 400]), quick)

    assert [ctx["squares2"], ctx["squares5"]] == [[1], [2]]
    assert ctx["nap7"] == "/children/7"
    assert shell.err.count("lost") == 0
