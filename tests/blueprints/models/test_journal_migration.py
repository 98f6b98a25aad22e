"""The migration that keeps the entries of the journal as bytes, with hashes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from journal_before import BECAME

ROOT = Path(__file__).resolve().parents[3]


def test_entries_that_were_json_get_bytes_addresses_and_hashes(tmp_path: Path) -> None:
    environ = {**os.environ, "SWARM_VAR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environ.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "journal_before.py"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == BECAME
