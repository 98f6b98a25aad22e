"""The known word nearest to a misspelt one, for error texts."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from string import digits
from typing import Final

_MOST_COMPARED: Final = 500
_MOST_LISTED: Final = 30
MOST_SEARCHED: Final = 100
"""For how many words of a document a lint looks for a slip, which takes time."""
# How similar a word of four letters is with two of them swapped.
_SWAPPED: Final = 0.75
_LONGER: Final = 2
# `x_min`, `x-min`, `xMin` and `XMin` have the parts x and min.
_BETWEEN_PARTS: Final = re.compile(
    r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
)
_NO_DIGITS: Final = str.maketrans("", "", digits)


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that is most similar to a word, empty if none is similar.

    `cutoff` is how similar it must be, from 0 to 1 (the same).
    """
    few = sorted(known)[:_MOST_COMPARED]
    return next(iter(get_close_matches(word, few, n=1, cutoff=cutoff)), "")


def near(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the `closest` known word, or one that begins with the word and `_`."""
    choices = sorted(known)
    # A name without its end may be too short for a close match.
    longer = (one for one in choices if one.startswith(f"{word}_"))
    return closest(word, choices, cutoff) or next(longer, "")


def hint_at(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, empty if no known word is near."""
    return f"did you mean '{found}'?" if (found := near(word, known)) else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, the list of what is known, or nothing."""
    choices = list(known)
    every = f"known: {listed(sorted(choices))}" if choices else ""
    return hint_at(word, choices) or every


def listed(names: Iterable[str]) -> str:
    """Return names as a text of at most 30 names; `none` without any."""
    every = list(names)
    more = len(every) - _MOST_LISTED
    text = ", ".join(every[:_MOST_LISTED]) or "none"
    return f"{text} and {more} more" if more > 0 else text


def slip_of(word: str, known: Iterable[str], cutoff: float = 0.8) -> str:
    """Return the known word that a word is one letter off, empty if there is none.

    It is for words that may be right, so it is stricter than `near`: a plural, another
    number, another short word and another part (`x_min`, `y_min`) are words of their own.
    """
    few = sorted(one for one in known if abs(len(one) - len(word)) <= _LONGER)
    close = get_close_matches(word, few[:_MOST_COMPARED], n=3, cutoff=_SWAPPED)
    return next((one for one in close if _is_slip(word, one, cutoff)), "")


def _is_slip(word: str, known: str, cutoff: float) -> bool:
    """Return whether two words differ in one letter of a part, or only between parts."""
    here, there = _BETWEEN_PARTS.split(word), _BETWEEN_PARTS.split(known)
    if "".join(here).lower() == "".join(there).lower():
        return True
    pairs = [pair for pair in zip(here, there, strict=False) if len(set(pair)) > 1]
    if len(here) != len(there) or len(pairs) != 1:
        return False
    shorter, longer = sorted(pairs[0], key=len)
    similar = SequenceMatcher(None, shorter, longer).ratio() >= cutoff
    return (
        (similar or sorted(shorter) == sorted(longer))
        and shorter.translate(_NO_DIGITS) != longer.translate(_NO_DIGITS)
        and longer not in (f"{shorter}s", f"{shorter}es")
    )
