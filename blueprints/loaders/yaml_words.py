"""The errors of PyYAML's parser in plain words."""

import re
from typing import Final

import yaml

_TWO_COLONS: Final = re.compile(r"(?:^|[\s{\[,-])[^\s:][^:]*:\s+\S.*$")
_QUOTED: Final = (
    "write the whole text between quotes, or below its key after '|' or '>-'"
)
# The texts of libyaml that need no look at the line, and what is to be done.
_RULES: Final = {
    "found a tab character that violates indentation": (
        "a tab can't indent a line; use spaces"
    ),
    "found unknown escape character": (
        "between double quotes a backslash begins an escape; write \\\\ for a"
        " backslash, or use single quotes"
    ),
    "did not find expected '-' indicator": (
        "this line is indented like a list, but begins with no '- '; indent it like"
        " the list's key, or further than the '-'"
    ),
    "block sequence entries are not allowed in this context": (
        "a list can't begin here; put '- ' on a line of its own, below the key"
    ),
    "did not find expected comment or line break": (
        "nothing may follow '|' or '>' on its line; write the text below it, or"
        " between quotes"
    ),
    "did not find expected ',' or ']'": (
        "a ',' or the ']' of the list is missing before this"
    ),
    "did not find expected ',' or '}'": (
        "a ',' or the '}' of the mapping is missing before this"
    ),
}


def plain_words(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int, int]:
    """Return the broken rule and where: line and column, which count from 1."""
    problem, mark = error.problem or "", error.problem_mark or error.context_mark
    began = error.context_mark
    if mark is None:
        return problem, 0, 0
    line, column = mark.line + 1, mark.column + 1
    rows = text.splitlines()
    row = rows[mark.line] if mark.line < len(rows) else ""
    before, here = row[: mark.column], row[mark.column : mark.column + 1]
    if here == "\t" or (not before.strip() and "\t" in before):
        return _RULES["found a tab character that violates indentation"], line, column
    if problem in _RULES:
        return _RULES[problem] + _since(error, line), line, column
    match problem:
        case "mapping values are not allowed in this context":
            above = "".join(rows[: mark.line][-1:])
            return _colon(before, above, line, column)
        case "did not find expected key":
            return _no_key(before, here, began), line, column
        case "found character that cannot start any token":
            rule = f"a text can't begin with {here!r}; write it between quotes"
            return rule, line, column
        case "could not find expected ':'" if began is not None:
            rule = "a key without ':'; write 'KEY: VALUE'"
            return rule, began.line + 1, began.column + 1
        case "found unexpected end of stream" if began is not None:
            return "the quote opened here has no end", began.line + 1, began.column + 1
        case "did not find expected alphabetic or numeric character" if began:
            what = row[began.column : began.column + 1]
            rule = f"a text can't begin with {what!r}; write it between quotes"
            return rule, line, began.column + 1
    context = error.context or ""
    return " ".join(part for part in (context, problem) if part), line, column


def _since(error: yaml.MarkedYAMLError, line: int) -> str:
    """Return where the list or mapping began, if that is another line."""
    began = error.context_mark
    if began is None or began.line + 1 == line or "flow" not in (error.context or ""):
        return ""
    return f" (it began at line {began.line + 1} column {began.column + 1})"


def _colon(before: str, above: str, line: int, column: int) -> tuple[str, int, int]:
    """Return the rule broken by a `: ` where no key can stand, and where."""
    if _TWO_COLONS.search(before):
        return f"': ' inside a text makes a mapping of it; {_QUOTED}", line, column
    if above.strip() and ":" not in above:
        begins = len(above) - len(above.lstrip())
        return "a key without ':'; write 'KEY: VALUE'", line - 1, begins + 1
    rule = (
        "the indentation is wrong: this key is indented further than the key above"
        " it, which has a value already"
    )
    return rule, line, len(before) - len(before.lstrip()) + 1


def _no_key(before: str, here: str, began: yaml.Mark | None) -> str:
    """Return the rule broken by something else than a key in a mapping."""
    if before.strip():
        if before.rstrip()[-1:] in "\"'":
            return f"the text goes on after its closing quote; {_QUOTED}"
        if here in "]}":
            return f"this {here!r} closes nothing; remove it"
        return f"{here!r} can't stand after the value; {_QUOTED}"
    if here == "-":
        return (
            "a list item beside the keys of a mapping; indent it below the key it"
            " belongs to"
        )
    line = "" if began is None else f" (they begin at line {began.line + 1})"
    return (
        "the indentation is wrong: this line is indented neither like the keys"
        f" around it nor further{line}"
    )
