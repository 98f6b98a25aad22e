"""kill -9 of a worker whose runs have rows: the rows match the journal afterwards."""

from collections import Counter

import orjson
import pytest
from fault_installation import Installation, fanout, step
from flow_documents import seq

RUNS = 8
LANES = 8
FLOW = seq(step(), step(), fanout(list(range(LANES)), step()), step())
PLACES = {
    "/children/0",
    "/children/1",
    *(f"/children/2/lane[{lane}]" for lane in range(LANES)),
    "/children/3",
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_rows_agree_with_the_journal_after_kill_nine(
    installation: Installation,
) -> None:
    installation.pace(0.05)
    # The one that is killed has the steward, and so the archive, as well.
    victim = installation.worker()
    runs = installation.launch_with_rows(FLOW, {"n": 0}, RUNS)
    installation.until(lambda: sum(installation.noted().values()), lambda n: n > 12, 30)
    installation.worker()
    installation.kill(victim)

    def statuses() -> list[tuple[str]]:
        return installation.rows(
            "SELECT status FROM blueprints_run WHERE id IN ?", runs
        )

    assert installation.until(statuses, lambda got: set(got) == {("done",)}, 60) == [
        ("done",)
    ] * len(runs)

    steps = installation.rows(
        "SELECT run_id, place, status, attempts, id FROM blueprints_step"
        " WHERE run_id IN ?",
        runs,
    )
    every = {(run, place) for run in runs for place in PLACES}
    assert Counter((run, place) for run, place, *_ in steps) == Counter(every)
    assert {status for _, _, status, *_ in steps} == {"passed"}

    entries = installation.rows(
        "SELECT run_id, number, data FROM blueprints_runevent WHERE run_id IN ?"
        " ORDER BY run_id, number",
        runs,
    )
    events = [
        (run, event) for run, _, data in entries for event in orjson.loads(data)["e"]
    ]
    # What is archived is the journal, entry by entry, which the stream still has.
    assert Counter(map(str, events)) == Counter(map(str, installation.events(runs)))
    for run in runs:
        numbers = [number for whose, number, _ in entries if whose == run]
        assert numbers == list(range(1, len(numbers) + 1))
    passed = Counter((run, event[1]) for run, event in events if event[0] == "passed")
    assert passed == Counter(every)

    tries = installation.rows(
        "SELECT s.run_id, s.place, t.number, t.status FROM blueprints_attempt t"
        " JOIN blueprints_step s ON s.id = t.step_id WHERE s.run_id IN ?",
        runs,
    )
    ended = Counter(
        (run, place) for run, place, _, status in tries if status == "passed"
    )
    assert ended == Counter(every)
    kinds = Counter(event[0] for _, event in events)
    assert kinds["lost"] + kinds["batch_broken"] > 0
    lost = [event for _, event in events if event[0] == "lost"]
    assert sum(status == "lost" for *_, status in tries) == len(lost)
    most = {(run, place): number for run, place, number, _ in sorted(tries)}
    assert most == {(run, place): attempts for run, place, _, attempts, _ in steps}
