"""A worker whose Redis answers but refuses writes: it waits quietly and then works."""

import pytest
from fault_installation import Installation, step


@pytest.mark.slow
def test_it_reconnects_with_a_pause(installation: Installation) -> None:
    [run] = installation.launch(step(), {"n": 0})
    installation.store.wire.call("CONFIG", "SET", "min-replicas-to-write", 1)
    installation.worker()
    log = installation.until(
        lambda: installation.log(0), lambda log: log.count("NOREPLICAS") > 12, 60
    )
    assert log.count("NOREPLICAS") > 12
    assert "Frequent restarts" not in log
    assert "Traceback" not in log
    installation.store.wire.call("CONFIG", "SET", "min-replicas-to-write", 0)
    assert installation.wait([run], 30) == {run: "done"}
