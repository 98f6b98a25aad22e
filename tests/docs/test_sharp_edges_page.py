"""docs/sharp-edges.md: every edge is on the page, and every test it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "sharp-edges.md"
SHOWN = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/[^)]+)\)")
# The edges of the flow language, of Blueprints, and of loading and storing.
LISTED = """
F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 F13 F14 F15 F16 F17 F18 F19 F20
B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 B12 B13 B14 B15 B16 B17 B18 B19 B20 B21 B22 B23
B24 B25 B26
S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17
"""
EDGES = LISTED.split()


def rows() -> dict[str, list[str]]:
    """The cells of each row by its id."""
    found: dict[str, list[str]] = {}
    for line in PAGE.read_text().splitlines():
        if re.match(r"\| [A-Z][0-9]", line):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert found.setdefault(cells[0], cells) is cells, "it is there twice"
    return found


def test_every_edge_is_there_once_and_in_order() -> None:
    assert list(rows()) == EDGES


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_is_fixed_or_kept_by_a_test_or_later_with_a_name(edge: str) -> None:
    _, was, what, here, shown = rows()[edge]
    assert was
    assert here
    named = SHOWN.findall(shown)
    if what.startswith("later: "):
        assert (named, len(what) > len("later: ")) == ([], True)
        return
    assert what in ("fixed", "kept")
    assert named, "no test shows it"
    for test, path in named:
        assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.M), test


def test_no_test_bears_the_id_of_an_edge_that_is_not_there_yet() -> None:
    table = rows()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name, letter, number in re.findall(
            r"^def (test_([fbs])(\d+)_\w+)\(", path.read_text(), re.M
        ):
            edge = f"{letter.upper()}{number}"
            assert edge in table, name
            assert table[edge][2] in ("fixed", "kept"), name
