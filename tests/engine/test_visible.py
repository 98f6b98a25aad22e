"""Terminal escapes become text, and JSON stays the same JSON."""

import json
import logging
import sys

import pytest

from engine.visible import VisibleFormatter, visible

BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
HALVES = range(0xD800, 0xE000)
CONTROLS = {
    *(code for code in range(0x20) if chr(code) not in "\t\n"),
    *range(0x7F, 0xA0),
    *(0x2028, 0x2029, *BIDI, *HALVES),
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9d0;title\x9c", r"\u009d0;title\u009c"),
        ("a\rb\x00c\x7f", r"a\x0db\x00c\u007f"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("half \udcff", r"half \udcff"),
        ("two\n\tlines, ü 👍 日本, a\u00a0b, \u200d", None),
    ],
)
def test_what_is_obeyed_is_shown(text: str, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)
    assert visible(visible(text)) == visible(text)


def test_every_character_that_is_obeyed_is_replaced() -> None:
    for code in range(sys.maxunicode + 1):
        assert (visible(chr(code)) != chr(code)) == (code in CONTROLS), hex(code)


def test_json_stays_the_same_json() -> None:
    value = {chr(code): chr(code) for code in CONTROLS if code not in HALVES}
    text = json.dumps(value, ensure_ascii=False)
    assert visible(text) != text
    assert json.loads(visible(text)) == value


def test_a_log_record_is_shown_with_its_traceback() -> None:
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        error = sys.exc_info()
    record = logging.LogRecord("a", 30, "f", 1, "said %s", ("\x9b",), error)
    lines = VisibleFormatter("%(message)s").format(record).splitlines()
    assert (lines[0], lines[-1]) == (r"said \u009b", r"ValueError: \x1b[2J")
