"""A Redis that is out of memory with runs in flight: what adds work waits for room."""

import subprocess
from collections import Counter

import pytest
from fault_installation import Installation, fanout, step
from flow_documents import seq

RUNS = 12
BEFORE = 4
FLOW = seq(
    *[step() for _ in range(BEFORE)],
    fanout(list(range(4)), seq(step(), step())),
    step(),
)
PLACES = BEFORE + 8 + 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_steps_go_on_without_memory_and_fanouts_wait_for_it(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.pace(0.1)
    installation.ready(installation.worker())
    runs = installation.launch_with_rows(FLOW, {"n": 0}, RUNS)
    wire = installation.store.wire
    wire.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    wire.call("CONFIG", "SET", "maxmemory", "1")

    def ran() -> int:
        return sum(installation.noted().values())

    opened = {run for run, event in installation.events(runs) if event[0] == "opened"}
    all_wait = RUNS * BEFORE + len(opened) * (PLACES - BEFORE)
    assert installation.until(ran, lambda found: found >= all_wait, 60) == all_wait
    # A launch is refused, and nothing of it starts later.
    with pytest.raises(subprocess.CalledProcessError) as refused:
        installation.launch_with_rows(FLOW, {"n": 0}, 1)
    assert "Redis is full" in refused.value.stderr
    still = installation.wait(runs, 0)
    assert {still[run] for run in set(runs) - opened} == {"running"}
    assert ran() == all_wait

    wire.call("CONFIG", "SET", "maxmemory", "0")
    done = Counter({"done": RUNS})
    # Their keys go as soon as they are archived.
    assert (
        installation.until(
            lambda: installation.statuses(runs), lambda found: found == done, 60
        )
        == done
    )
    noted = installation.noted()
    with capsys.disabled():
        print(
            f"\nRedis out of memory: {all_wait} of {RUNS * PLACES} steps ran meanwhile,"
            f" {sum(n > 1 for n in noted.values())} ran twice"
        )
    assert len(noted) == RUNS * PLACES
    assert set(noted.values()) == {1}
