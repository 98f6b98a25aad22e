"""Reads the smallest parts of a text of expressions: marks, names, literals."""

import json
import re
from typing import Final

from engine.flow.errors import TextFault
from engine.flow.json_text import Json, JsonTextError, load_json
from engine.flow.path import IDENTIFIER

MOST_TEXT: Final = 16 * 1024
"""The most characters of one text."""
MOST_LEVELS: Final = 50
"""The most levels of one text, each chain of sums or products counted as it nests."""
# A longer word is not repeated in an error.
LONGEST_SHOWN: Final = 60

NAME: Final = re.compile(IDENTIFIER)
FOREIGN: Final = re.compile(r"&&|\|\||===|!==|\*\*|//|<>|=(?!=)|!(?!=)|\?|\|")
_SPACE: Final = re.compile(r"\s*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# An integer of no more digits fits 64 bits.
_FEW_DIGITS: Final = 18
_MORE: Final = re.compile(r"[\w.]+")
_PLAIN_TEXT: Final = re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_ESCAPES: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.", re.DOTALL)
_FOREIGN_WORDS: Final = {
    "&&": "and",
    "||": "or",
    "|": "or",
    "===": "==",
    "=": "==",
    "!==": "!=",
    "<>": "!=",
    "!": "not",
    "**": "*",
    "//": "/",
}


class TextScanner:
    """Goes through one text from left to right; `at` is the place in hand."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_TEXT:
            rule = f"an expression has at most {MOST_TEXT} characters, got {len(text)}"
            raise TextFault(0, rule)
        self.text = text
        self.at = 0
        self.level = 0

    def skip(self) -> int:
        """Skip spaces and return where the next word begins."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def sees(self, mark: str) -> bool:
        """Return whether a mark follows, behind spaces."""
        return self.text.startswith(mark, self.skip())

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the match at the place in hand, and go behind it."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def expect(self, mark: str, after: str) -> None:
        """Go behind a mark; raises TextFault without it."""
        if not self.sees(mark):
            raise self.unexpected(f"expected '{mark}' {after}")
        self.at += len(mark)

    def unexpected(self, rule: str) -> TextFault:
        """Return the fault of what stands here, where a rule expects something else."""
        foreign = FOREIGN.match(self.text, self.skip())
        if foreign is not None and foreign[0] in _FOREIGN_WORDS:
            rule = f"write '{_FOREIGN_WORDS[foreign[0]]}' instead of '{foreign[0]}'"
        elif self.at == len(self.text):
            rule += ", got the end of the text"
        else:
            word = NAME.match(self.text, self.at)
            found = word[0] if word else self.text[self.at]
            rule += f", got {found[:LONGEST_SHOWN]!r}"
        return TextFault(self.at, rule)

    def deeper(self, at: int) -> None:
        """Count a level; raises TextFault beyond the most."""
        self.level += 1
        if self.level > MOST_LEVELS:
            raise TextFault(at, f"nested deeper than {MOST_LEVELS} levels")

    def number(self, at: int) -> Json:
        """Return the value of a number, which begins here."""
        found = self.take(_NUMBER)
        if found is None:
            if self.text[at] == "-":
                rule = "'-' stands before a number or between two expressions"
                raise TextFault(at, f"{rule}; write 0 - x to negate x")
            raise self.unexpected("expected an expression")
        more = _MORE.match(self.text, self.at)
        if more is not None:
            rule = f"{(found[0] + more[0])[:LONGEST_SHOWN]!r} is no number"
            raise TextFault(at, rule)
        if found[0].isdecimal() and len(found[0]) <= _FEW_DIGITS:
            return int(found[0])
        try:
            return load_json(found[0])
        except JsonTextError as error:
            raise TextFault(at, str(error).partition(": ")[2]) from None

    def plain_text(self) -> str:
        """Return the text between apostrophes, which begins here."""
        at = self.at
        found = self.take(_PLAIN_TEXT)
        if found is None:
            raise TextFault(at, "the text has no end; expected another '")
        return self.unescaped(found[1], at + 1)

    def unescaped(self, text: str, at: int) -> str:
        """Return a text without its escapes: those of JSON, and the apostrophe."""

        def one(found: re.Match[str]) -> str:
            if found[0] == r"\'":
                return "'"
            try:
                return str(load_json(f'"{found[0]}"'))
            except JsonTextError:
                rule = f"unknown escape {found[0]}; those of JSON and \\' are known"
                raise TextFault(at + found.start(), rule) from None

        return _ESCAPES.sub(one, text)

    def json_value(self) -> Json:
        """Read the JSON value of `lit(…)` and the bracket behind it."""
        at = self.skip()
        try:
            _, end = json.JSONDecoder().raw_decode(self.text, at)
            value = load_json(self.text[at:end])
        except (ValueError, RecursionError) as error:
            why = str(error).rpartition(": ")[2]
            raise TextFault(at, f"expected JSON in lit(…): {why}") from None
        self.at = end
        self.expect(")", "after the JSON of lit(…)")
        return value
