"""The benchmarks run and print their tables; no time is asserted."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.benchmarks.driver import checked
from tests.benchmarks.floors import CONTINUED, SINGLE
from tests.benchmarks.flow_speed import SHAPES as FLOWS
from tests.benchmarks.measure import Result, Round
from tests.benchmarks.report import LEFT, RIGHT
from tests.benchmarks.shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]


def command(module: str, *args: str) -> list[str]:
    return [sys.executable, "-m", module, *args]


@pytest.mark.slow
def test_every_shape_runs_on_both_sides_in_both_modes(tmp_path: Path) -> None:
    lines = tmp_path / "rounds.jsonl"
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        ended = subprocess.run(
            command("tests.benchmarks", "--smoke", "--jsonl", str(lines)),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            timeout=110,
        )
    assert ended.returncode == 0, err.read_text()
    text = out.read_text()
    heads = [line for line in text.splitlines() if "median ms" in line]
    assert len(heads) == 2
    for name in (*LEFT, *RIGHT):
        assert name in heads[0]
    assert text.count("20 child processes (small)") == 2
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    ratios = [record for record in records if "ratio" in record]
    ran = Counter(record["shape"] for record in ratios)
    assert ran == dict.fromkeys((shape.name for shape in SHAPES), 2)
    assert all(record["ratio"] > 0 for record in ratios)


def result(mode: str, name: str, ours_ms: float, canvas_ms: float) -> Result:
    """Return what one shape took in one round a side."""
    [shape] = [shape for shape in SHAPES if shape.name == name]
    rounds = [Round(ms, 0, 0, 0, 0.0, 0.0, 0.0) for ms in (ours_ms, canvas_ms)]
    return Result(mode, shape, rounds[:1], rounds[1:])


def test_the_check_reports_each_floor_and_fails_on_a_miss(
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = [
        result(CONTINUED, "chain100", 39, 240),
        result(CONTINUED, "runs200x10", 100, 600),
        result(CONTINUED, "fanout1000", 100, 300),
        result(CONTINUED, "lua100", 70, 300),
        result(SINGLE, "loop50", 100, 100),
    ]
    assert checked(good, None)
    assert capsys.readouterr().out.splitlines() == [
        "PASS  chain100, continuation and lane batches on: x 6.15, floor x 6.00",
        "PASS  runs200x10, continuation and lane batches on: x 6.00, floor x 6.00",
        "PASS  fanout1000, continuation and lane batches on: x 3.00, floor x 3.00",
        "PASS  loop50, continuation and lane batches off: x 1.00, floor x 1.00",
        "AIM   chain100: 0.39 ms a step, aim 0.4 ms, reached",
        "AIM   lua100: 0.70 ms a step, aim 0.6 ms, missed",
    ]
    slow = [*good[:-1], result(SINGLE, "loop50", 101, 100)]
    assert not checked(slow, None)
    assert "FAIL  loop50" in capsys.readouterr().out
    assert not checked(good[1:], None)
    assert "FAIL  chain100, continuation and lane batches on: x not measured" in (
        capsys.readouterr().out
    )


def test_the_check_compares_ratios_with_an_earlier_run(tmp_path: Path) -> None:
    def run(ms: float) -> list[Result]:
        names = ("chain100", "runs200x10", "fanout1000")
        return [result(CONTINUED, name, ms, 1000) for name in names]

    before = tmp_path / "before.jsonl"
    records = [record for one in run(100) for record in one.records()]
    before.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert checked(run(110), before)
    assert not checked(run(112), before)


def test_the_speed_of_the_interpreter_is_printed() -> None:
    ended = subprocess.run(
        command("tests.benchmarks.flow_speed", "10", "20"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    head, *rows = ended.stdout.splitlines()
    assert head.split() == ["shape", "10", "20", "ratio"]
    assert [row.split()[0] for row in rows] == [shape.__name__ for shape in FLOWS]
    assert all(float(cell) > 0 for row in rows for cell in row.split()[1:])


def test_the_cost_of_kept_blueprints_is_printed() -> None:
    ended = subprocess.run(
        command(
            "tests.benchmarks.kept_blueprints",
            *("2", "--blueprints", "2", "--rounds", "1"),
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    _, *rows = ended.stdout.splitlines()
    names = ["register", "list", "history", "head", "diff"]
    assert [row.split()[3] for row in rows] == names * 2
    assert all(float(cell) > 0 for row in rows for cell in row.split()[4:])
