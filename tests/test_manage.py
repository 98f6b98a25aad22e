"""`manage.py` started by a Python that has nothing installed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_python_without_django_prints_advice_in_one_line() -> None:
    # -S leaves site-packages out, which is what a Python outside of the venv lacks.
    ended = subprocess.run(
        [sys.executable, "-S", "-E", "manage.py", "runs", "list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr == (
        "django is not installed in this Python:"
        " use `uv run manage.py ...`, or activate .venv\n"
    )
