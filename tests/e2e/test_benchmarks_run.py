"""The benchmarks run and print their tables; no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.report import LEFT, RIGHT

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.benchmarks", "--quick", "--repeats", "1"]


@pytest.mark.slow
def test_one_round_of_the_chains_gives_both_tables(tmp_path: Path) -> None:
    lines = tmp_path / "rounds.jsonl"
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        ended = subprocess.run(
            [*COMMAND, "--only", "chain", "--jsonl", str(lines)],
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
    assert text.count("chain of 100 ") == 2
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    ratios = [record for record in records if "ratio" in record]
    assert len(ratios) == 4
    assert all(record["ratio"] > 0 for record in ratios)
