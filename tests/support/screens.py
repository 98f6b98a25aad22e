"""Screens of a terminal, kept as text in tests/cases/screens, one file a width."""

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "cases" / "screens"


def same_screen(name: str, width: int, lines: Iterable[str]) -> None:
    """Check lines against the kept screen, and that each fits into the width.

    A command to copy stays on one line. To accept a new screen, delete its file and run
    the test twice.
    """
    text = "".join(f"{line.rstrip()}\n" for line in lines)
    long = [one for one in text.splitlines() if len(one) > width and ".py " not in one]
    assert not long, long
    path = FOLDER / f"{name}-{width}.txt"
    if not path.exists():
        path.write_text(text)
        raise AssertionError(f"{path} was missing and is written: read it")
    assert text == path.read_text()
