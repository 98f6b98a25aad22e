"""Every recorded history replays to its recorded end, and a changed one does not."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from followed_runs import replayed
from histories import FOLDER, SHAPES, History, read
from simulation_checks import text

from engine.run.replay import Replay, ReplayError, Snapshot, moves
from engine.run.replay.tape import SILENT
from engine.store.base import JournalEntry

FILES = sorted(FOLDER.glob("*.jsonl"))


def ids(path: Path) -> str:
    return path.stem


def test_there_is_a_history_of_each_shape() -> None:
    assert {path.stem for path in FILES} >= set(SHAPES)
    found = b"".join(path.read_bytes() for path in FILES)
    for kind in (
        "run_paused", "run_resumed", "run_cancelled", "run_failed", "run_done", "retry",
        "lost", "step_lost", "blocked", "failed", "opened", "joined", "lane_ended",
        "checkpoint", "stats",
    ):  # fmt: skip
        assert f'[\\"{kind}\\"'.encode() in found, kind


def ends_as_recorded(history: History, entries: list[JournalEntry]) -> bool:
    made = replayed(history.program, history.ctx, entries)
    kept = made.state.kept
    same = (
        kept.error is None or kept.error[-len(history.error or []) :] == history.error
    )
    ctx = (
        text(made.ctx())
        == json.dumps(
            history.end, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    )
    return kept.status == history.status and same and ctx


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_history_replays_to_its_recorded_end(path: Path) -> None:
    history = read(path)
    assert ends_as_recorded(history, history.entries)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_replay_continues_from_the_snapshot_after_any_entry(path: Path) -> None:
    history = read(path)
    whole = replayed(history.program, history.ctx, history.entries).snapshot()
    for at in range(1, len(history.entries), 1 + len(history.entries) // 25):
        first = history.entries[:at]
        kept = replayed(history.program, history.ctx, first).snapshot()
        assert kept.number == at
        made = Replay(history.program, snapshot=Snapshot.from_json(kept.to_json()))
        for entry in history.entries[at:]:
            made.apply(entry)
        assert plain(made.snapshot().to_json()) == plain(whole.to_json())


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_replay_needs_no_fuel_that_its_journal_does_not_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a version in which a worker enters fewer nodes before it commits.
    monkeypatch.setattr(moves, "FUEL_NODES", 1)
    history = read(path)
    assert ends_as_recorded(history, history.entries)


def plain(snapshot: bytes) -> Any:
    """Return a snapshot without the order of its chains, and without random marks."""
    data = json.loads(snapshot)
    for chain in data["chains"].values():
        chain["log"] = len(chain["log"])
    for chord in data["chords"].values():
        for one in chord["results"].values():
            one["log"] = len(one["log"])
    return data


def changed(history: History) -> Iterator[tuple[str, list[JournalEntry]]]:
    """Yield the entries of a history with one thing changed, and what that is."""
    entries = history.entries
    for at, entry in enumerate(entries):
        data = json.loads(entry.data)
        if all(event[0] in SILENT for event in data["e"]) and "l" not in data:
            continue
        name = f"entry {entry.number}"
        yield f"{name} is missing", entries[:at] + entries[at + 1 :]
        if data.get("a") == "0" and data["e"][0][0] != "lost":
            # Without what a lane did last, a journal may be one of a slower lane.
            rest = [replace(one, number=one.number - 1) for one in entries[at + 1 :]]
            yield f"{name} is cut out", entries[:at] + rest
        later = [replace(one, number=one.number + 1) for one in entries[at:]]
        yield f"{name} is there twice", entries[: at + 1] + later
        for part, event in enumerate(data["e"]):
            if event[0] in SILENT:
                continue
            for field, value in enumerate(event):
                other = copy.deepcopy(data)
                if not _change(event[0], other["e"][part], field, value):
                    continue
                made = replace(entry, data=json.dumps(other).encode())
                what = f"{name}: field {field} of {event} is another"
                yield what, [*entries[:at], made, *entries[at + 1 :]]
            fewer = copy.deepcopy(data)
            del fewer["e"][part]
            made = replace(entry, data=json.dumps(fewer).encode())
            yield f"{name} lacks {event}", [*entries[:at], made, *entries[at + 1 :]]


# What decides nothing: times, the reason of a retry, how lanes are sent, and the texts of
# errors that a try catches without looking. A lost worker, a pause and the deadline come
# from outside, so that no program can contradict them.
FREE = {
    "run_started": {2, 3}, "retry": {4, 5, 6}, "opened": {4, 5}, "lost": {1, 4},
    "passed": {4, 5}, "blocked": {4, 5}, "failed": {4, 5}, "step_lost": {4},
    "raised": {3}, "run_cancelled": {1}, "timed_out": {4}, "checkpoint": {2},
}  # fmt: skip
OUTSIDE = ("run_paused", "run_resumed", "run_cancelled", "RunDeadline", "lost")


def _change(kind: str, event: list[Any], field: int, value: Any) -> bool:
    if field == 0 or field in FREE.get(kind, ()):
        return False
    event[field] = value + 1 if isinstance(value, int) else f"{value}x"
    return isinstance(value, (int, str))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_changed_history_is_found(path: Path) -> None:
    history = read(path)
    unnoticed = []
    for what, entries in changed(history):
        same = False
        with contextlib.suppress(ReplayError):
            same = ends_as_recorded(history, entries)
        if same and not any(word in what for word in OUTSIDE):
            unnoticed.append(what)
    assert not unnoticed


def test_the_first_difference_names_both_sides() -> None:
    history = read(FOLDER / "steps.jsonl")
    wrong = [
        replace(one, data=one.data.replace(b"/children/1", b"/children/7"))
        for one in history.entries
    ]
    with pytest.raises(ReplayError) as found:
        replayed(history.program, history.ctx, wrong)
    assert str(found.value) == (
        "the replay of run R-1 (generation 1) stops at entry 3, at /children/1: the"
        ' journal has ["pending","/children/7","inc"], and the program gives'
        ' ["pending","/children/1","inc"]'
    )


def test_another_program_is_found() -> None:
    history = read(FOLDER / "steps.jsonl")
    other = read(FOLDER / "loop.jsonl").program
    with pytest.raises(ReplayError, match="stops at entry 1"):
        replayed(other, history.ctx, history.entries)


def test_a_gap_of_the_archive_is_named() -> None:
    history = read(FOLDER / "steps.jsonl")
    gap = replace(history.entries[1], data=b'{"e":[["gap",4,"they were lost"]]}')
    with pytest.raises(ReplayError, match=r"a gap up to entry 4 \(they were lost\)"):
        replayed(history.program, history.ctx, [history.entries[0], gap])
