"""Reruns and forks of ended runs, with their rows: what is kept does not run again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from flow_documents import at, fanout, let, lit, seq
from flow_documents import step as step_to
from rig import Rig, program, step

from blueprints.models import Run, RunGeneration, RunSnapshot, Step
from blueprints.selectors.replays import EARLIER
from blueprints.selectors.steps import run_names, step_report
from blueprints.services.run_generations import run_generation_open
from engine.flow.path import Path
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.store.installs import Target
from engine.store.redis import RedisStore
from workers.archive.archiver import Archiver
from workers.runs import again
from workers.runs.again import AgainRefused, Place, fork, rerun
from workers.runs.launch import start_run
from workers.steward.database_duties import Bookkeeper

pytestmark = pytest.mark.django_db(transaction=True)

FLOW = seq(step("$.n"), step("$.m"), step("$.k"))
CTX = {"n": 1, "m": 2, "k": 3}


class Counting:
    """Answers a step with its input, and fails at the inputs in `bad`."""

    in_process = True

    def __init__(self) -> None:
        """Count the attempts at each place."""
        self.places: Counter[str] = Counter()
        self.bad: set[Any] = set()

    def run(self, call: StepCall) -> Outcome:
        """Make an attempt."""
        self.places[call.place] += 1
        if call.input in self.bad:
            return Outcome("failed", f"bad: {call.input}")
        return Outcome("passed", call.input)


@pytest.fixture
def agent(rig: Rig) -> Counting:
    """The agent of every step of the rig."""
    rig.spawner = made = Counting()
    return made


def worked_off(rig: Rig, run: Run) -> Run:
    """Let a run go on to its end, and archive it."""
    rig.work_off()
    Archiver(rig.store).turn()
    run.refresh_from_db()
    return run


def statuses(run: Run, generation: int) -> dict[str, str]:
    """Return the status of each step of a generation, by place."""
    found = Step.objects.filter(run=run, generation=generation)
    return dict(found.values_list("place", "status"))


def start_by_steward(rig: Rig, run: Run) -> None:
    """Let the steward start a pending run, long after its command has died."""
    long_ago = run.created_at.replace(year=2020)
    Run.objects.filter(pk=run.pk).update(created_at=long_ago, opened_at=long_ago)
    Bookkeeper(rig.store, lambda: True).start_launched()


def test_a_run_is_run_again_from_its_start(rig: Rig, agent: Counting) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    first = run.result
    row = rerun(rig.store, run, Place())
    assert (row.pk, row.generation, row.status) == (run.pk, 2, "running")
    assert row.deadline_at is not None
    assert (row.result, row.finished_at) == (None, None)
    worked_off(rig, row)
    assert (row.status, row.result, row.reason) == ("done", first, "rerun")
    assert set(agent.places.values()) == {2}
    assert RunGeneration.objects.get(run=run).result == first


def test_a_run_is_run_again_from_a_step(rig: Rig, agent: Counting) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    first = run.result
    row = worked_off(rig, rerun(rig.store, run, Place("/children/1")))
    assert (row.generation, row.status, row.result) == (2, "done", first)
    assert agent.places == {"/children/0": 1, "/children/1": 2, "/children/2": 2}
    # The steps that are kept are shown, with the id that they had.
    assert statuses(run, 2) == dict.fromkeys(statuses(run, 1), "passed")
    keys = Step.objects.filter(run=run, place="/children/0").values_list("key")
    assert len(set(keys)) == 1
    # The step that is kept ran in the first generation, and can be run again too.
    third = worked_off(rig, rerun(rig.store, row, Place("/children/0")))
    assert (third.generation, third.status, third.result) == (3, "done", first)
    assert agent.places["/children/0"] == 2


def test_what_has_failed_is_run_again(rig: Rig, agent: Counting) -> None:
    body = step("$.item")
    agent.bad = {3, 5}
    lanes = fanout(lit([1, 2, 3, 4, 5]), body, join="all_settled")
    run = worked_off(rig, rig.launch(seq(lanes, step("$.n")), CTX))
    assert run.status == "done"
    agent.bad = {5}
    row = worked_off(rig, rerun(rig.store, run, Place(only_failed=True)))
    assert (row.status, row.reason) == ("done", "rerun of what failed")
    # What fails again can be run again, though its fanout opened a generation before.
    agent.bad = set()
    row = worked_off(rig, rerun(rig.store, row, Place(only_failed=True)))
    assert (row.generation, row.status) == (3, "done")
    ran = {p[-2]: count for p, count in agent.places.items() if "lane" in p}
    assert ran == {"0": 1, "1": 1, "2": 2, "3": 1, "4": 3}
    assert "rejected" not in str(row.result)


def test_a_run_without_a_failure_has_nothing_to_run_again(
    rig: Rig, agent: Counting
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    with pytest.raises(AgainRefused, match="has ended with an error"):
        rerun(rig.store, run, Place(only_failed=True))
    with pytest.raises(AgainRefused, match="no step has begun at /children/7"):
        rerun(rig.store, run, Place("/children/7"))
    run.refresh_from_db()
    assert (run.generation, RunGeneration.objects.count()) == (1, 0)


def test_a_run_under_way_does_not_begin_again(rig: Rig, agent: Counting) -> None:
    run = rig.launch(FLOW, CTX)
    with pytest.raises(AgainRefused, match="only an ended run"):
        rerun(rig.store, run, Place())


def test_a_fork_goes_on_with_an_edited_ctx(rig: Rig, agent: Counting) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    edits = {Path("$", ("k",)): 7}
    row = fork(rig.store, run, Place("/children/2", edits=edits))
    assert (row.origin, row.origin_place) == (run, "/children/2")
    assert (row.generation, row.task) == (1, run.task)
    worked_off(rig, row)
    assert row.status == "done"
    assert row.result["k"] == 7
    assert agent.places == {"/children/0": 1, "/children/1": 1, "/children/2": 2}
    assert statuses(row, 1) == statuses(run, 1)
    run.refresh_from_db()
    assert (run.generation, run.result["k"]) == (1, 3)
    # Its origin may go: the fork has all that it began with.
    assert RunSnapshot.objects.filter(run=row).count() == 1


def test_a_fork_goes_on_with_another_version_that_did_the_same(
    rig: Rig, agent: Counting
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    other = program(seq(step("$.n"), step("$.m"), step("$.n"), step("$.k")))
    row = fork(rig.store, run, Place("/children/2", program=other))
    worked_off(rig, row)
    assert row.status == "done"
    assert row.program_id == other.program_id
    assert set(statuses(row, 1)) == {f"/children/{n}" for n in range(4)}
    different = program(seq(step("$.n"), seq(step("$.k")), step("$.k")))
    before = Run.objects.count()
    with pytest.raises(AgainRefused, match="the program gives"):
        fork(rig.store, run, Place("/children/2", program=different))
    assert Run.objects.count() == before


def test_a_place_in_a_lane_that_lost_is_refused(rig: Rig, agent: Counting) -> None:
    agent.bad = {2}
    lanes = fanout(lit([2, 1]), step("$.item"), join="any")
    run = worked_off(rig, rig.launch(seq(lanes, step("$.n")), CTX))
    assert run.status == "done"
    place = next(place for place in agent.places if "lane[0]" in place)
    with pytest.raises(AgainRefused, match="another lane has decided"):
        rerun(rig.store, run, Place(place))


def test_a_steward_starts_what_a_dead_command_has_opened(
    rig: Rig, agent: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(again, "start_run", die)
        with pytest.raises(KeyboardInterrupt):
            rerun(rig.store, run, Place("/children/1"))
    run.refresh_from_db()
    assert (run.generation, run.status) == (2, "pending")
    start_by_steward(rig, run)
    worked_off(rig, run)
    assert (run.generation, run.status) == (2, "done")
    assert agent.places == {"/children/0": 1, "/children/1": 2, "/children/2": 2}


@pytest.mark.parametrize("calls", range(6))
def test_an_install_that_was_cut_off_is_finished_by_a_steward(
    rig: Rig, agent: Counting, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    lanes = fanout(lit([1, 2, 3, 4, 5]), step("$.item"), join="all_settled")
    run = worked_off(rig, rig.launch(seq(lanes, step("$.n"), step("$.m")), CTX))
    first, left = run.result, [calls]

    def die_later(store: RedisStore, *args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        written(store, *args)

    written = RedisStore.install
    place = next(place for place in agent.places if "lane[2]" in place)
    with monkeypatch.context() as patched:
        patched.setattr(RedisStore, "install", die_later)
        with pytest.raises(KeyboardInterrupt):
            rerun(rig.store, run, Place(place))
    start_by_steward(rig, run)
    run.refresh_from_db()
    worked_off(rig, run)
    assert (run.generation, run.status, run.result) == (2, "done", first)
    again = {place for place, count in agent.places.items() if count > 1}
    assert again == {place, "/children/1", "/children/2"}
    assert rig.store.installing() == set()


def test_half_an_install_that_nobody_continues_is_removed(
    rig: Rig, agent: Counting
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    run_generation_open(run, "rerun")
    target = Target(run.pk, 2, "half")
    rig.store.install(target, "begin", ("n", 0))
    rig.store.install(target, "base", ("b", b"{}"))
    keeper = Bookkeeper(rig.store, lambda: True)
    keeper.drop_installs()
    assert rig.store.installing() == {(run.pk, 2)}
    Run.objects.filter(pk=run.pk).update(status="cancelled")
    keeper.drop_installs()
    assert rig.store.installing() == set()
    assert rig.store.wire.call("KEYS", f"swarm:s:r:{run.pk}:2:*") == []


def test_a_generation_that_begins_while_installs_are_dropped_goes_on(
    rig: Rig, agent: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RedisStore, "open_installed", die)
        with pytest.raises(KeyboardInterrupt):
            rerun(rig.store, run, Place("/children/1"))
    run.refresh_from_db()
    found = rig.store.installing()
    assert found == {(run.pk, 2)}
    assert start_run(rig.store, run) == "ok"
    # The steward has read the list before that.
    monkeypatch.setattr(RedisStore, "installing", lambda _: found)
    Bookkeeper(rig.store, lambda: True).drop_installs()
    worked_off(rig, run)
    assert (run.generation, run.status) == (2, "done")


def test_an_install_that_comes_last_leaves_what_has_run(
    rig: Rig, agent: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    row = rerun(rig.store, run, Place("/children/1"))
    opened = RedisStore.open_installed

    def late(store: RedisStore, *args: Any) -> Any:
        # Another installer of the same data has opened it, and it ran to its end.
        rig.work_off()
        return opened(store, *args)

    monkeypatch.setattr(RedisStore, "install", lambda *_: None)
    monkeypatch.setattr(RedisStore, "open_installed", late)
    assert start_run(rig.store, row) == "done"
    worked_off(rig, row)
    assert (row.generation, row.status, row.result) == (2, "done", run.result)


def test_a_steward_leaves_a_generation_that_was_opened_just_now_to_its_command(
    rig: Rig, agent: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    long_ago = run.created_at.replace(year=2020)
    Run.objects.filter(pk=run.pk).update(created_at=long_ago)
    run.refresh_from_db()
    row = run_generation_open(run, "rerun")
    Bookkeeper(rig.store, lambda: True).start_launched()
    row.refresh_from_db()
    assert row.status == "pending"
    start_by_steward(rig, row)
    row.refresh_from_db()
    assert row.status == "running"


def test_at_a_place_the_ctx_is_the_one_it_was(rig: Rig, agent: Counting) -> None:
    flow = seq(step("$.n"), let("$.n", lit(9)), step("$.n"))
    run = worked_off(rig, rig.launch(flow, CTX))
    row = worked_off(rig, rerun(rig.store, run, Place("/children/0")))
    assert row.result == run.result


def lane_of(places: Counter[str], lane: int) -> str:
    """Return the place of the step in a lane of the one fanout."""
    [place] = [place for place in places if f"lane[{lane}]" in place]
    return place


class Numbered(Counting):
    """Answers the n-th attempt at a step with its input and n."""

    def run(self, call: StepCall) -> Outcome:
        """Make an attempt."""
        made = super().run(call)
        if made.kind == "passed":
            return Outcome("passed", [call.input, self.places[call.place]])
        return made


LANES = seq(
    fanout(lit([1, 2, 3]), step("$.item"), join="all_settled", out="$.lanes"),
    step("$.n"),
)


def answers(run: Run) -> list[Any]:
    """Return the answer of each lane, `rejected` for one that has failed."""
    lanes = run.result["lanes"]
    return [one["value"]["item"] if "value" in one else one["status"] for one in lanes]


def test_a_rerun_keeps_what_the_reruns_before_have_made(rig: Rig) -> None:
    rig.spawner = agent = Numbered()
    run = worked_off(rig, rig.launch(LANES, CTX))
    for lane in (0, 1, 2):
        place = lane_of(agent.places, lane)
        worked_off(rig, rerun(rig.store, run, Place(place)))
        run.refresh_from_db()
    assert run.generation == 4
    assert answers(run) == [[1, 2], [2, 2], [3, 2]]
    assert set(statuses(run, 4)) == set(statuses(run, 1))
    # From the first lane again: what the second and the third have made is kept.
    run = worked_off(rig, rerun(rig.store, run, Place(lane_of(agent.places, 0))))
    assert answers(run) == [[1, 3], [2, 2], [3, 2]]


def test_what_has_failed_in_an_earlier_generation_is_run_again(rig: Rig) -> None:
    rig.spawner = agent = Numbered()
    agent.bad = {1, 3}
    run = worked_off(rig, rig.launch(LANES, CTX))
    agent.bad = {3}
    first = Place(lane_of(agent.places, 0))
    run = worked_off(rig, rerun(rig.store, run, first))
    assert answers(run) == [[1, 2], [2, 1], "rejected"]
    agent.bad = set()
    run = worked_off(rig, rerun(rig.store, run, Place(only_failed=True)))
    assert answers(run) == [[1, 2], [2, 1], [3, 2]]
    with pytest.raises(AgainRefused, match="has ended with an error"):
        rerun(rig.store, run, Place(only_failed=True))


def test_a_flow_that_failed_after_a_join_has_failed_at_the_join(rig: Rig) -> None:
    rig.spawner = agent = Numbered()
    lanes = fanout(lit([1, 2]), step("$.item"), out="$.lanes")
    flow = seq(lanes, let("$.x", at("$.nothing")), step("$.n"))
    run = worked_off(rig, rig.launch(flow, CTX))
    assert run.status == "failed"
    row = worked_off(rig, rerun(rig.store, run, Place(only_failed=True)))
    assert (row.generation, row.status, row.error) == (2, "failed", run.error)
    assert set(agent.places.values()) == {1}


def test_a_fork_is_run_again_from_before_and_after_its_origin(rig: Rig) -> None:
    rig.spawner = Numbered()
    flow = seq(
        step_to("echo", at("$.n"), "$.a"),
        step_to("echo", at("$.m"), "$.b"),
        step_to("echo", at("$.m"), "$.c"),
    )
    run = worked_off(rig, rig.launch(flow, CTX))
    edits = {Path("$", ("m",)): 7}
    forked = worked_off(rig, fork(rig.store, run, Place("/children/1", edits=edits)))
    assert forked.result == {**CTX, "m": 7, "a": [1, 1], "b": [7, 2], "c": [7, 2]}
    # The edit was made before its place, which is kept.
    row = worked_off(rig, rerun(rig.store, forked, Place("/children/2")))
    assert row.result == {**CTX, "m": 7, "a": [1, 1], "b": [7, 2], "c": [7, 3]}
    row = worked_off(rig, rerun(rig.store, row, Place("/children/1")))
    assert row.result == {**CTX, "m": 7, "a": [1, 1], "b": [7, 3], "c": [7, 4]}
    # From before that place it has not been made.
    row = worked_off(rig, rerun(rig.store, row, Place("/children/0")))
    assert row.result == {**CTX, "a": [1, 2], "b": [2, 4], "c": [2, 5]}


def test_an_edit_that_the_ctx_has_no_place_for_is_refused(
    rig: Rig, agent: Counting
) -> None:
    """The chain could be claimed by nobody."""
    run = worked_off(rig, rig.launch(FLOW, CTX))
    for keys in (("k", "deep"), ("n", "a", "b")):
        edits = {Path("$", keys): 7}
        with pytest.raises(AgainRefused, match="the edits do not fit there"):
            fork(rig.store, run, Place("/children/2", edits=edits))
    lanes = seq(fanout(lit([1, 2]), step("$.item")))
    run = worked_off(rig, rig.launch(lanes, CTX))
    edits = {Path("$", ("item", "deep")): 7}
    with pytest.raises(AgainRefused, match="the edits do not fit there"):
        fork(rig.store, run, Place(lane_of(agent.places, 1), edits=edits))
    assert Run.objects.count() == 2


def test_a_fork_outlives_its_origin_with_what_it_has_made(
    rig: Rig, agent: Counting
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    forked = worked_off(rig, fork(rig.store, run, Place("/children/1")))
    first = run.result
    Run.objects.filter(pk=run.pk).delete()
    forked.refresh_from_db()
    row = worked_off(rig, rerun(rig.store, forked, Place("/children/2")))
    assert (row.status, row.result) == ("done", first)
    with pytest.raises(AgainRefused, match="made by a run that was deleted"):
        rerun(rig.store, row, Place("/children/0"))
    different = program(seq(step("$.n"), step("$.k"), step("$.k")))
    with pytest.raises(AgainRefused, match="a run that was deleted"):
        fork(rig.store, row, Place("/children/2", program=different))
    shown = step_report(
        row,
        Step.objects.get(run=row, generation=2, place="/children/0"),
        run_names(row),
    )
    assert set(shown["missing"].values()) == {EARLIER}


def test_another_version_goes_on_from_a_later_generation(
    rig: Rig, agent: Counting
) -> None:
    run = worked_off(rig, rig.launch(FLOW, CTX))
    row = worked_off(rig, rerun(rig.store, run, Place("/children/1")))
    other = program(seq(step("$.n"), step("$.m"), step("$.n"), step("$.k")))
    forked = worked_off(rig, fork(rig.store, row, Place("/children/2", program=other)))
    assert (forked.status, forked.program_id) == ("done", other.program_id)
    assert agent.places["/children/0"] == 1
