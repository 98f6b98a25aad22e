"""Migrations that move data: each runs on a database as it was before."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from journal_before import BECAME
from programs_before import MOVED

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("script", "after"),
    [
        pytest.param(
            "programs_before.py", MOVED, id="runs of one program share its row"
        ),
        pytest.param(
            "journal_before.py",
            BECAME,
            id="entries that were JSON get bytes, addresses and hashes",
        ),
    ],
)
def test_a_migration_moves_what_was_there(
    tmp_path: Path, script: str, after: Any
) -> None:
    environ = {**os.environ, "SWARM_VAR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environ.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / script],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == after
