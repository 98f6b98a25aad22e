"""The migration that gives the programs of runs rows of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from programs_before import MOVED

ROOT = Path(__file__).resolve().parents[3]


def test_runs_of_one_program_share_its_row(tmp_path: Path) -> None:
    environ = {**os.environ, "SWARM_VAR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environ.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "programs_before.py"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == MOVED
