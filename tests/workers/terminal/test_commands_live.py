"""The live view: a journal for people."""

import io
import re
from types import SimpleNamespace
from typing import Any

import orjson
from rich.console import Console

from engine.blueprint import Program
from engine.blueprint.program import Agent
from engine.run.journal.projection import time_of
from engine.store.base import JournalEntry
from workers.terminal.run_progress import RunProgress
from workers.terminal.run_view import (
    PlainView,
    TreeView,
    tree,
    view_for,
)
from workers.terminal.texts import duration, one_line

STEP = {
    "kind": "step", "ref": "grade", "in": {"op": "lit", "value": 1},
    "out": {"op": "path", "at": "$.x"},
}  # fmt: skip


TIME = re.compile(r", [\d.]+ (ms|s|min|h|d)(, \S+ lanes/s)?(?=  )")
AGENTS = {"grade": Agent("grade", "python_fn", "swarm.python_fn", None)}


def entry(at_ms: int, *events: Any) -> JournalEntry:
    data = orjson.dumps({"a": "0", "s": 1, "w": "w", "e": list(events)})
    return JournalEntry(f"{at_ms}-0", "R-1", 1, 1, at_ms, data)


def fed(*entries: JournalEntry) -> RunProgress:
    progress = RunProgress("R-1", Program("demo", STEP, AGENTS))
    for item in entries:
        progress.apply(item)
    return progress


def drawn(progress: RunProgress) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(tree(progress))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_plain_lines_show_each_finished_step_once():
    progress = fed(
        entry(1000, ["run_started", "p", 1], ["pending", "/a", "grade"]),
        entry(2000, ["started", "/a", 1]),
        entry(2012, ["retry", "/a", 1, "grade", "no\nluck", 100, "raised"]),
    )
    out = io.StringIO()
    view = view_for(out)
    assert isinstance(view, PlainView)
    view.open(progress)
    view.update(progress)
    progress.apply(entry(3000, ["started", "/a", 2]))
    progress.apply(entry(3500, ["passed", "/a", 2, "grade", 1], ["run_done"]))
    view.close(progress)

    assert out.getvalue().splitlines() == [
        "run R-1 (demo)",
        "  retry    grade  python_fn  attempt 1  12 ms  /a  no luck",
        "  passed   grade  python_fn  attempt 2  500 ms  /a",
    ]
    assert progress.ended == "done"
    assert progress.count().startswith("1 step, 1 retry, ")


def test_a_wide_fanout_is_one_line():
    lanes = [
        entry(2000, ["passed", f"/f/lane[{n}]/b", 1, "grade", n]) for n in range(57)
    ]
    progress = fed(
        entry(1000, ["opened", "/f", "all", 100]),
        *lanes,
        entry(2100, ["failed", "/f/lane[57]/b", 1, "grade", "broke"]),
    )
    assert "grade  lane[0..99] 57/100 done, 1 failed" in drawn(progress)
    assert drawn(progress).count("\n") == 2

    out = io.StringIO()
    PlainView(out).close(progress)
    assert out.getvalue().splitlines() == [
        "  failed   grade  python_fn  0 ms  /f/lane[57]/b  broke",
        "  /f  grade  lane[0..99] 57/100 done, 1 failed, 100 ms  failed: 57",
    ]


def test_a_done_run_counts_its_failed_steps_and_a_failed_fanout_has_no_rate():
    lanes = [
        entry(
            1000 + n,
            ["started", f"/f/lane[{n}]/b", 1],
            ["passed", f"/f/lane[{n}]/b", 1, "grade", n],
        )
        for n in range(9)
    ]
    opened = entry(1000, ["opened", "/f", "all_settled", 10])
    last = "/f/lane[9]/b"
    passed = fed(opened, *lanes, entry(3000, ["passed", last, 1, "grade", 1]))
    assert "lanes/s" in passed.groups["/f"].summary(3000)

    failed = fed(opened, *lanes, entry(3000, ["failed", last, 1, "grade", "broke"]))
    assert "1 failed, 2.0 s  failed: 9" in failed.groups["/f"].summary(3000)
    failed.apply(entry(3001, ["joined", "/f", -1], ["run_done"]))
    assert failed.count().startswith("10 steps, 1 failed, ")


def test_markup_in_names_is_only_text():
    progress = fed(entry(1, ["failed", "/a", 1, "[red]x[/red]", "[bold]no"]))
    assert "[red]x[/red]" in drawn(progress)
    assert "[bold]no" in drawn(progress)


def test_only_the_latest_steps_are_drawn():
    progress = fed(*(entry(n, ["passed", f"/{n}", 1, "grade", 0]) for n in range(50)))
    assert "20 earlier lines" in drawn(progress)
    assert "/49" in drawn(progress)


def rows_of(progress: RunProgress) -> list[str]:
    """Return the drawn rows without their ends and times, below the head."""
    rows = [line.split("  python_fn")[0] for line in drawn(progress).splitlines()[1:]]
    return [TIME.sub("", row).rstrip() for row in rows]


def test_lanes_stand_below_their_fanout_and_iterations_below_their_loop():
    progress = fed(
        entry(1, ["passed", "/children/0", 1, "grade", 0]),
        entry(2, ["opened", "/children/1", "all", 2]),
        entry(3, ["started", "/children/1/lane[1]/children/0", 1]),
        entry(3, ["started", "/children/1/lane[0]/children/0", 1]),
        entry(4, ["passed", "/children/1/lane[0]/children/0", 1, "grade", 0]),
        entry(5, ["started", "/children/1/lane[0]/children/1", 1]),
        entry(5, ["passed", "/children/1/lane[1]/children/0", 1, "grade", 0]),
        entry(6, ["passed", "/children/1/lane[0]/children/1", 1, "grade", 0]),
        entry(7, ["joined", "/children/1", -1]),
        entry(8, ["passed", "/children/2/body[0]", 1, "grade", 0]),
        entry(9, ["passed", "/children/2/body[1]", 1, "grade", 0]),
        entry(9, ["pending", "/children/2/body[2]", "grade"]),
        entry(9, ["started", "/children/2/body[2]", 1], ["pending", "/x", "grade"]),
    )
    assert rows_of(progress) == [
        "├── ✔ grade",
        "├── ✔ grade  lane[0..1] 2/2 done  /children/1",
        "│   ├── ✔ lane[0]  /children/1/lane[0]",
        "│   │   ├── ✔ grade",
        "│   │   └── ✔ grade",
        "│   └── ✔ grade",
        "├── ▶ loop, 3 iterations  /children/2",
        "│   ├── ✔ grade",
        "│   ├── ✔ grade",
        "│   └── ▶ grade",
        "└── · grade",
    ]


def test_a_fanout_inside_a_lane_stands_below_that_lane():
    progress = fed(
        entry(1, ["opened", "/f", "all", 1]),
        entry(2, ["passed", "/f/lane[0]/children/0", 1, "grade", 0]),
        entry(3, ["passed", "/f/lane[0]/children/1/lane[0]", 1, "grade", 0]),
        entry(4, ["failed", "/f/lane[0]/children/1/lane[1]", 1, "grade", "no"]),
    )
    assert rows_of(progress) == [
        "└── ✘ grade  lane[0..0] 0/1 done, 1 failed  failed: 0  /f",
        "    └── ✘ lane[0]  /f/lane[0]",
        "        ├── ✔ grade",
        "        └── ✘ lane[0..1]  /f/lane[0]/children/1",
        "            ├── ✔ grade",
        "            └── ✘ grade",
    ]


def test_only_the_newest_iterations_of_a_loop_are_drawn():
    turns = range(40)
    progress = fed(*(entry(n, ["passed", f"/body[{n}]", 1, "grade", 0]) for n in turns))
    rows = rows_of(progress)
    assert rows[:2] == ["└── ✔ loop, 40 iterations", "    ├── … 32 earlier"]
    assert len(rows) == 10
    assert "/body[39]" in drawn(progress)


def test_rows_are_bounded_and_what_they_stand_below_stays():
    many = [
        entry(n, ["passed", f"/{k}/body[{n}]", 1, "grade", 0])
        for k in range(20)
        for n in range(5)
    ]
    progress = fed(
        *many, *(entry(1, ["passed", f"/s{n}", 1, "grade", 0]) for n in "abc")
    )
    rows = rows_of(progress)
    assert rows[0] == "├── … 93 earlier lines"
    assert len(rows) == 31
    assert rows[1].startswith("├── ✔ loop, 5 iterations  /15")
    assert rows[-1].startswith("└── ✔ grade")


def test_times_and_texts_are_short():
    assert [duration(s) for s in (0.0121, 5, 600, 9000, 200000)] == [
        "12 ms",
        "5.0 s",
        "10 min",
        "2 h",
        "2 d",
    ]
    assert one_line("a\n b" * 50, 10) == "a ba ba b…"


def emitted(place: str, *events: Any, first: int = 1) -> list[Any]:
    return ["output", place, 1, first, list(events)]


def stage(name: str, note: str = "") -> dict[str, Any]:
    return {"type": "progress", "stage": name, "note": note}


BEGUN = (["pending", "/a", "grade"], ["started", "/a", 1])


def test_plain_lines_show_stages_logs_and_parts_as_they_come():
    progress = fed(
        entry(1000, *BEGUN), entry(1100, emitted("/a", stage("read", "1/2")))
    )
    out = io.StringIO()
    view = PlainView(out)
    view.update(progress)
    log = {"type": "log", "text": "hm\nwell"}
    part = {"type": "artifact", "name": "plan.md", "content": {"kind": "omitted"}}
    partial = {"type": "partial", "chunk": {"kind": "inline", "value": 1}}
    progress.apply(entry(1200, emitted("/a", stage("read", "2/2"), log, partial, part)))
    progress.apply(entry(1300, emitted("/a", stage("write"))))
    mark = {"type": "truncated", "why": "more than SWARM_EVENT_LIMIT (5 events)"}
    progress.apply(entry(1400, emitted("/a", mark), ["passed", "/a", 1, "grade", 1]))
    view.update(progress)

    assert out.getvalue().splitlines() == [
        "  running  grade  python_fn  /a  read: 1/2",
        "  log      grade  python_fn  /a  hm well",
        "  partial  grade  python_fn  /a  1",
        "  part     grade  python_fn  /a  plan.md",
        "  running  grade  python_fn  /a  write",
        "  log      grade  python_fn  /a  output truncated: more than"
        " SWARM_EVENT_LIMIT (5 events)",
        "  passed   grade  python_fn  400 ms  /a",
    ]


def inline(value: Any) -> dict[str, Any]:
    return {"kind": "inline", "value": value}


def test_plain_lines_show_partials_once_a_second_and_finals_with_their_author():
    chunks = [{"type": "partial", "chunk": inline("word " * n)} for n in (90, 1, 2)]
    large = {"type": "partial", "chunk": {"kind": "omitted", "size": 20_000}}
    finals = [
        {"type": "final", "content": inline({"n": 1}), "ok": False, "by": "critic"},
        {"type": "final", "content": inline("good"), "ok": True, "by": "grade"},
    ]
    progress = fed(entry(1000, *BEGUN), entry(1100, emitted("/a", *chunks)))
    out = io.StringIO()
    view = PlainView(out)
    view.update(progress)
    assert '"word word' in drawn(progress)
    progress.apply(entry(1200, emitted("/a", large, *finals)))
    assert "(20000 bytes)" in drawn(progress)
    view.update(progress)
    assert out.getvalue().splitlines() == [
        '  partial  grade  python_fn  /a  "' + "word " * 15 + "wor…",
        '  final    grade  python_fn  /a  by critic (no): {"n": 1}',
        '  final    grade  python_fn  /a  by grade: "good"',
    ]
    progress.apply(entry(1300, ["started", "/a", 2]))
    assert "bytes" not in drawn(progress)


def test_the_tree_shows_the_stage_of_a_running_step_only():
    progress = fed(entry(1000, *BEGUN, emitted("/a", stage("read", "[b]1/2[/b]"))))
    assert "read: [b]1/2[/b]" in drawn(progress)
    progress.apply(entry(1200, ["retry", "/a", 1, "grade", "no", 0, "failed"]))
    progress.apply(entry(1300, ["started", "/a", 2]))
    assert "read" not in drawn(progress)


def test_the_tree_prints_log_lines_and_finals_above_itself():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    view = TreeView(console)
    progress = fed(entry(1000, *BEGUN))
    view.open(progress)
    line = {"type": "log", "text": "[red]file 1[/red]"}
    final = {"type": "final", "content": inline("good"), "ok": True, "by": "critic"}
    progress.apply(entry(1100, emitted("/a", line, final)))
    view.close(progress)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count('by critic: "good"') == 1
    assert text.count("[red]file 1[/red]") == 1


def test_a_lane_that_speaks_is_running():
    progress = fed(
        entry(1000, ["opened", "/f", "all", 3]),
        entry(1100, emitted("/f/lane[1]", stage("one"))),
    )
    assert progress.steps["/f/lane[1]"].status == "running"
    assert progress.steps["/f/lane[1]"].stage == "one"


def test_lanes_of_a_wide_fanout_do_not_flood_the_view():
    progress = fed(
        entry(1000, ["opened", "/f", "all", 100]),
        *(entry(1100, emitted(f"/f/lane[{n}]", stage("x"))) for n in range(100)),
    )
    out = io.StringIO()
    PlainView(out).update(progress)
    assert out.getvalue() == ""


def test_the_tree_shows_that_a_run_is_paused():
    progress = fed(entry(1000, *BEGUN), entry(1100, ["run_paused"]))
    assert "demo  paused" in drawn(progress)
    progress.apply(entry(1200, ["run_resumed"]))
    assert "demo  running" in drawn(progress)


def test_plain_lines_show_that_a_run_was_paused_and_resumed_elsewhere():
    progress = fed(entry(1000, *BEGUN))
    out = io.StringIO()
    view = PlainView(out)
    view.update(progress)
    for kind in ("run_paused", "run_resumed"):
        progress.apply(entry(1100, [kind]))
        view.update(progress)
        view.update(progress)
    assert out.getvalue() == "run R-1 paused\nrun R-1 resumed\n"


def test_a_fanout_is_not_done_before_all_its_lanes_are():
    progress = fed(
        entry(1000, ["opened", "/f", "all", 5]),
        entry(1100, ["passed", "/f/lane[0]", 1, "grade", 0]),
        entry(1100, ["passed", "/f/lane[1]", 1, "grade", 0]),
    )
    assert rows_of(progress)[0] == "└── ▶ grade  lane[0..4] 2/5 done  /f"
    for n in (2, 3, 4):
        progress.apply(entry(1200, ["passed", f"/f/lane[{n}]", 1, "grade", 0]))
    assert rows_of(progress)[0] == "└── ✔ grade  lane[0..4] 5/5 done  /f"


def test_nothing_of_a_cancelled_run_is_shown_as_under_way():
    progress = fed(
        entry(1000, ["opened", "/f", "all", 5]),
        entry(1100, ["passed", "/f/lane[0]", 1, "grade", 0]),
        entry(1100, ["pending", "/f/lane[1]", "grade"], ["started", "/f/lane[1]", 1]),
        entry(1200, ["retry", "/f/lane[2]", 1, "grade", "no", 0, "failed"]),
        entry(3100, ["run_cancelled", "enough"]),
        # Its worker has not heard of it yet.
        entry(3200, emitted("/f/lane[3]", stage("one"))),
    )
    assert rows_of(progress) == [
        "└── - grade  lane[0..4] 1/5 done, 3 cancelled  /f",
        "    ├── ✔ grade",
        "    ├── - grade",
        "    ├── - grade",
        "    └── - ?  0 ms  /f/lane[3]",
    ]
    assert progress.steps["/f/lane[1]"].seconds(9000) == 2.0


def test_lanes_that_a_race_left_behind_are_not_shown_as_under_way():
    progress = fed(
        entry(1000, ["opened", "/f", "race", 2]),
        entry(1100, ["pending", "/f/lane[0]", "grade"], ["started", "/f/lane[0]", 1]),
        entry(1200, ["passed", "/f/lane[1]", 1, "grade", 0], ["joined", "/f", 1]),
    )
    assert rows_of(progress) == [
        "└── ✔ grade  lane[0..1] 1/2 done, 1 cancelled  /f",
        "    ├── - grade",
        "    └── ✔ grade",
    ]


CONTROL = re.compile(r"\x1b\[(\??\d*)(?:;\d+)*([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def screen(written: str) -> list[str]:
    """Return the lines a terminal shows after what was written to it."""
    lines, row, column = [""], 0, 0
    for number, letter, move, text in CONTROL.findall(written):
        if text:
            kept = lines[row].ljust(column)
            lines[row] = kept[:column] + text + kept[column + len(text) :]
            column += len(text)
        elif move == "\r":
            column = 0
        elif move == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif letter == "A":
            row = max(0, row - int(number or 1))
        elif letter == "K":
            lines[row] = ""
    return [line.rstrip() for line in lines if line.strip()]


def test_lines_printed_while_a_tree_is_drawn_stay_above_it():
    console = Console(file=io.StringIO(), width=60, force_terminal=True)
    view = TreeView(console)
    progress = fed(entry(1000, *BEGUN))
    view.open(progress)
    advice = "no worker serves [b]swarm.gpu; start `python manage.py fleet --kind gpu`"
    view.print(advice)
    for at in (1100, 1200):
        progress.apply(entry(at, emitted("/a", stage("read"))))
        view.update(progress)
    view.close(progress)
    view.print("the end")
    shown = screen(console.file.getvalue())  # type: ignore[attr-defined]
    assert shown[0] == advice
    assert shown[1].startswith("run R-1  demo  running")
    assert shown[2].startswith("└── ▶ grade")
    assert shown[3:] == ["the end"]


def test_a_lane_of_a_batch_has_its_agent_and_its_time():
    lane = "/children/0/lane[3]/children/0"
    flow = {
        "kind": "fanout", "items": {"op": "lit", "value": [1]},
        "bind": {"op": "path", "at": "$.i"}, "join": "all",
        "out": {"op": "path", "at": "$.o"},
        "body": {"kind": "seq", "children": [STEP, STEP]},
    }  # fmt: skip
    program = Program("b", {"kind": "seq", "children": [flow, STEP]}, AGENTS)
    progress = RunProgress("R-1", program)
    progress.apply(entry(2000, emitted(lane, {"type": "log", "text": "hello"})))
    out = io.StringIO()
    view = PlainView(out)
    view.update(progress)
    progress.apply(entry(2100, ["passed", lane, 1, "grade", 1, 1250]))
    view.update(progress)
    assert out.getvalue().splitlines() == [
        f"  log      grade  python_fn  {lane}  hello",
        f"  passed   grade  python_fn  1.2 s  {lane}",
    ]


def test_an_attempt_of_a_dead_worker_counts_no_more():
    progress = fed(
        entry(1000, ["pending", "/a", "grade"], ["started", "/a", 1]),
        entry(9000, ["lost", "/a", 1, 1], ["lost", "/join", 1, 1]),
    )
    out = io.StringIO()
    PlainView(out).update(progress)
    assert out.getvalue() == (
        "  lost     grade  python_fn  attempt 1  8.0 s  /a"
        "  its worker died or lost its lease\n"
    )
    assert progress.steps["/a"].seconds(99_000) == 8.0
    assert rows_of(progress) == ["└── ✘ grade"]
    progress.apply(entry(20_000, ["started", "/a", 2]))
    assert progress.steps["/a"].seconds(21_000) == 1.0


def archived(status: str, attempts: int, ended_at: int | None) -> SimpleNamespace:
    """Return the row of a step as the database has it when a run is resumed."""
    finished = None if ended_at is None else time_of(ended_at)
    return SimpleNamespace(
        place="/a", agent="grade", kind="python_fn", status=status, attempts=attempts,
        started_at=time_of(1000), finished_at=finished,
    )  # fmt: skip


def test_an_archived_attempt_keeps_its_time_when_the_run_ends():
    progress = fed()
    progress.seed([archived("passed", 1, 3000)])
    progress.apply(entry(600_000, ["run_done"]))

    assert progress.steps["/a"].seconds(600_000) == 2.0


def test_an_older_attempt_that_is_read_again_is_shown_as_a_retry():
    progress = fed()
    progress.seed([archived("running", 2, None)])
    out = io.StringIO()
    progress.apply(entry(2000, ["retry", "/a", 1, "grade", "no luck", 100, "raised"]))
    PlainView(out).update(progress)

    [line] = out.getvalue().splitlines()
    assert re.match(r"  retry    grade  python_fn  attempt 1 .*/a  no luck", line)
    assert progress.retries == 1
