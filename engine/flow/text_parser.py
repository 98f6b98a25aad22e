"""Reads expressions from text, in the dialect `swarm`.

Grammar: docs/guides/the-language.md, Expressions as text. Precedence climbing over the
table of operators; the text printer is its inverse.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from engine.flow.errors import TextFault
from engine.flow.expr import Expr
from engine.flow.grammar import (
    AND_LEVEL,
    CALLS,
    COMPARISON_LEVEL,
    INFIX,
    NOT_LEVEL,
    OP_WORDS,
    OR_LEVEL,
    RESERVED,
    TEXT_NAMES,
    Field,
    Word,
)
from engine.flow.makers import EXPR_MAKERS
from engine.flow.path import (
    IDENTIFIER,
    LONGEST_CACHED,
    Key,
    Path,
    parse_path,
    swarm_keys,
    swarm_path,
    why_no_swarm_segment,
)
from engine.flow.spelling import closest, hint_at
from engine.flow.text_scanner import FOREIGN, LONGEST_SHOWN, NAME, TextScanner

Marks: TypeAlias = list[tuple[Expr, int]]


_PLAIN_PATH: Final = re.compile(rf"\$(?:\.{IDENTIFIER})+")
_NUMBER_BEGINS: Final = "-+.0123456789"
_KEY: Final = re.compile(rf"\$?{IDENTIFIER}")
_QUOTED_KEY: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# A piece of a template between quotation marks, and of one that is a text of its own.
_QUOTED_PIECE: Final = re.compile(r'[^"\\{}]+|\\.|\{\{|\}\}', re.DOTALL)
_BARE_PIECE: Final = re.compile(r"[^{}]+|\{\{|\}\}", re.DOTALL)
_SLICE: Final = re.compile(r"\[\s*(-?[0-9]{1,9})?\s*:\s*(-?[0-9]{1,9})?\s*\]")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
# Words of YAML 1.1 and other languages for the constants.
_ELSEWHERE: Final = {
    **dict.fromkeys(("yes", "on", "y"), "true"),
    **dict.fromkeys(("no", "off", "n"), "false"),
    **dict.fromkeys(("none", "nil", "undefined"), "null"),
}
_WORDS: Final = re.compile(r"[\w ,.!?-]{1,60}")
_COMPUTED: Final = re.compile(r"\[\s*[^\s\"'0-9-]")
_INFIX: Final = re.compile(r"==|!=|<=|>=|[<>+*/%-]|(?:or|and|in|not\s+in)(?!\w)")
_OPS: Final = {infix.symbol: op for op, infix in INFIX.items()}


def parse_text(
    text: str, marks: Marks | None = None, *, dollar_keys: tuple[str, ...] = ()
) -> Expr:
    """Read an expression in its normal form from text.

    `marks` gets each expression with the offset where it begins. An object that is the
    whole text may have the `dollar_keys`, no other has a key with `$`. Raises TextFault.
    """
    if len(text) <= LONGEST_CACHED and _PLAIN_PATH.fullmatch(text):
        # Most texts are paths, which need no reader.
        expr = EXPR_MAKERS["path"](parse_path(text, "swarm"))
        if marks is not None:
            marks.append((expr, 0))
        return expr
    reader = _Reader(text, marks, dollar_keys)
    expr = reader.expression()
    reader.end()
    return expr


def parse_template(text: str, marks: Marks | None = None) -> Expr:
    """Read a template from the text between its quotation marks, without escapes.

    `marks` is that of `parse_text`. Raises TextFault.
    """
    return _Reader(text, marks, ()).template(_BARE_PIECE, 0)


class _Reader(TextScanner):
    """Reads the expression of one text."""

    def __init__(
        self, text: str, marks: Marks | None, dollar_keys: tuple[str, ...]
    ) -> None:
        super().__init__(text)
        self._bound: list[str] = []
        self._marks: Marks = [] if marks is None else marks
        self._dollar_keys = dollar_keys

    def _made(self, op: str, at: int, *fields: Any) -> Expr:
        expr = EXPR_MAKERS[op](*fields)
        self._marks.append((expr, at))
        return expr

    def end(self) -> None:
        """Raise TextFault unless the text ends here."""
        if self.skip() < len(self.text):
            raise self.unexpected("expected an operator or the end")

    # Operators.

    def expression(self, least: int = OR_LEVEL) -> Expr:
        """Read operands and the operators between them that bind as close as `least`."""
        start, level = self.skip(), self.level
        self.deeper(start)
        left = self._operand(least)
        while (symbol := self._symbol(least)) is not None:
            left = self._joined(symbol, left, start)
        self.level = level
        return left

    def _symbol(self, least: int) -> str | None:
        """Return the next operator if it binds as close as `least`, else None."""
        found = _INFIX.match(self.text, self.skip())
        if found is None or FOREIGN.match(self.text, self.at):
            return None
        symbol = found[0] if found[0][:3] != "not" else "not in"
        return symbol if INFIX[_op_of(symbol)].level >= least else None

    def _joined(self, symbol: str, left: Expr, start: int) -> Expr:
        """Read an operator and what stands behind it."""
        op = _op_of(symbol)
        level = INFIX[op].level
        if level <= AND_LEVEL:
            args = [left]
            while self._symbol(level) == symbol:
                self.take(_INFIX)
                args.append(self.expression(level + 1))
            return self._made(op, start, tuple(args))
        at = self.at
        self.take(_INFIX)
        if level != COMPARISON_LEVEL:
            self.deeper(at)
        made = self._made(op, start, left, self.expression(level + 1))
        if level == COMPARISON_LEVEL and self._symbol(level) is not None:
            rule = "comparisons are not chained; write 'a < b and b < c'"
            raise TextFault(self.at, rule)
        return self._made("not", start, made) if symbol == "not in" else made

    def _operand(self, least: int) -> Expr:
        at = self.at
        word = NAME.match(self.text, at)
        if word is None or word[0] != "not":
            return self._primary()
        if least > NOT_LEVEL:
            raise TextFault(
                at, "'not' binds less than the operator before it; write (not …)"
            )
        self.at = word.end()
        return self._made("not", at, self.expression(NOT_LEVEL))

    # Operands.

    def _primary(self) -> Expr:
        at = self.skip()
        match self.text[at : at + 1]:
            case "(":
                self.at += 1
                expr = self.expression()
                self.expect(")", "after the expression")
                return self._behind(expr)
            case "[":
                self.at += 1
                return self._made("array", at, tuple(self._items("]")))
            case "{":
                return self._object(at)
            case "'":
                return self._made("lit", at, self.plain_text())
            case '"':
                self.at += 1
                return self.template(_QUOTED_PIECE, at)
            case "$":
                self.at += 1
                return self._path(at, [])
            case mark if mark and mark in _NUMBER_BEGINS:
                return self._made("lit", at, self.number(at))
        word = self.take(NAME)
        if word is None:
            raise self.unexpected("expected an expression")
        return self._named(word[0], at)

    def _named(self, name: str, at: int) -> Expr:
        """Read what begins with a name."""
        if name in _CONSTANTS:
            return self._made("lit", at, _CONSTANTS[name])
        if name in ("and", "or"):
            if self.text.startswith("(", self.at):
                return self._call(name, at)
            raise TextFault(at, f"'{name}' stands between two expressions")
        if name == "in":
            raise TextFault(at, "'in' stands between two expressions")
        if name == "ctx":
            return self._path(at, [])
        end = self.at
        if self.sees("("):
            return self._behind(self._call(name, at))
        self.at = end
        if name in self._bound:
            return self._path(at, [name])
        raise TextFault(at, self._bare_word(name, at))

    def _bare_word(self, name: str, at: int) -> str:
        """Return the rule that a word breaks that stands where an expression stands."""
        if len(name) > LONGEST_SHOWN:
            return f"'{name[:LONGEST_SHOWN]}…' is no value"
        words = ["true", "false", "null", *self._bound]
        word = name.lower()
        near = _ELSEWHERE.get(word) or closest(word, words, cutoff=0.75)
        meant = f"; did you mean '{near}'?" if near else ""
        # The part before is short, since the search tries each of its characters.
        before = re.search(r"(\w+)-$", self.text[max(0, at - LONGEST_SHOWN) : at])
        if before is not None:
            meant = f'; a key with a hyphen is written ["{before[1]}-{name}"]'
        text = self.text if at == 0 and _WORDS.fullmatch(self.text) else name
        return (
            f"{name!r} is no value{meant}; a text is '{text}' in an expression or"
            f" {{lit: {text}}}, a value of the Ctx is $.{name}, and a text with values in"
            " it is {template: …}"
        )

    def _path(self, at: int, keys: list[Key]) -> Expr:
        """Read the keys behind a root or a bound name."""
        found, self.at = swarm_keys(self.text, self.at)
        path = swarm_path([*keys, *found])
        if name := NAME.match(self.text, self.at):
            raise TextFault(at, f"write $.{name[0]}")
        if not _SLICE.match(self.text, self.at):
            if _COMPUTED.match(self.text, self.at):
                rule = f"an element whose key is computed is get({path}, KEY)"
                raise TextFault(self.at, rule)
            if self.text.startswith((".", "["), self.at):
                rule = why_no_swarm_segment(self.text, self.at)
                raise TextFault(self.at, rule)
        return self._behind(self._made("path", at, path))

    def _behind(self, expr: Expr) -> Expr:
        """Read the slices behind an expression."""
        while (found := self.take(_SLICE)) is not None:
            self.deeper(found.start())
            start, end = found[1] or "0", found[2]
            bounds = [self._made("lit", found.start(), int(start))]
            if end is not None:
                bounds.append(self._made("lit", found.start(), int(end)))
            expr = self._made("slice", found.start(), (expr, *bounds))
        if self.text[self.at : self.at + 1] in (".", "["):
            raise TextFault(self.at, "only a path has keys; write get(…, KEY)")
        return expr

    def template(self, piece: re.Pattern[str], at: int) -> Expr:
        """Read the pieces of a template, and its second mark where it has marks."""
        parts: list[Expr] = []
        level = self.level
        self.deeper(at)
        while True:
            start, text = self.at, self._template_text(piece)
            if text:
                parts.append(self._made("lit", start, text))
            if self.text.startswith("}", self.at):
                rule = "a brace of the text itself is written '}}'"
                raise TextFault(self.at, rule)
            if not self.text.startswith("{", self.at):
                break
            self.at += 1
            parts.append(self.expression())
            self.expect("}", "after the expression in the template")
        self.level = level
        if piece is _QUOTED_PIECE:
            if not self.text.startswith('"', self.at):
                raise TextFault(at, 'the template has no end; expected another "')
            self.at += 1
        return self._made("template", at, tuple(parts))

    def _template_text(self, piece: re.Pattern[str]) -> str:
        """Return the text up to the next expression of a template, or to its end."""
        start, written = self.at, ""
        while (found := self.take(piece)) is not None:
            written += found[0][:1] if found[0] in ("{{", "}}") else found[0]
        return self.unescaped(written, start) if piece is _QUOTED_PIECE else written

    # Objects and calls.

    def _items(self, close: str) -> Iterator[Expr]:
        """Yield expressions between commas, up to a closing mark."""
        first = True
        while self._has_item(close, first=first):
            yield self.expression()
            first = False
        self.at += 1

    def _has_item(self, close: str, *, first: bool) -> bool:
        """Return whether another item follows, and go behind the comma before it."""
        if self.sees(close):
            return False
        if not first:
            if not self.sees(","):
                raise self.unexpected(f"expected ',' or '{close}'")
            self.at += 1
        return True

    def _object(self, at: int) -> Expr:
        allowed = self._dollar_keys if self.level == 1 else ()
        self.at += 1
        entries: dict[str, Expr] = {}
        while self._has_item("}", first=not entries):
            start = self.skip()
            key = self._key(allowed)
            if key in entries:
                raise TextFault(start, f"duplicate key {key[:LONGEST_SHOWN]!r}")
            example = f"; write {{{key}: $.{key}}}" if len(key) < LONGEST_SHOWN else ""
            self.expect(":", f"after a key{example}")
            entries[key] = self.expression()
        self.at += 1
        return self._made("object", at, entries)

    def _key(self, allowed: tuple[str, ...]) -> str:
        at = self.at
        if self.sees("'"):
            key = self.plain_text()
        elif quoted := self.take(_QUOTED_KEY):
            key = self.unescaped(quoted[0][1:-1], at + 1)
        elif name := self.take(_KEY):
            key = name[0]
        elif self.sees("$"):
            raise TextFault(at, "a key has no '$'; write {NAME: $.…}")
        else:
            raise self.unexpected("expected a key")
        if key.startswith("$") and key not in allowed:
            shown = key[:LONGEST_SHOWN]
            raise TextFault(at, f"a key does not begin with '$', got {shown!r}")
        return key

    def _call(self, name: str, at: int) -> Expr:
        """Read the arguments of a function: those of the fields of its operator."""
        self.expect("(", f"after {name!r}")
        if name == "lit":
            return self._made("lit", at, self.json_value())
        word = CALLS.get(name)
        if word is None:
            raise TextFault(at, _unknown_function(name))
        bound = len(self._bound)
        values: list[Any] = []
        for number, field in enumerate(word.fields):
            if field.type == "expressions":
                values.append(tuple(self._rest(word, field, at, first=number == 0)))
            elif not self._has_item(")", first=number == 0):
                raise TextFault(at, f"expected {_signature(name, word)}")
            else:
                values.append(self._argument(field))
        if not self.sees(")"):
            raise self.unexpected(f"expected {_signature(name, word)}")
        self.at += 1
        del self._bound[bound:]
        return self._made(word.name, at, *values)

    def _argument(self, field: Field) -> Any:
        match field.type:
            case "path":
                return self._binder()
            case "text":
                if not self.sees("'"):
                    raise self.unexpected("expected the name of a function in '…'")
                return self.plain_text()
            case _:
                return self.expression()

    def _rest(self, word: Word, field: Field, at: int, *, first: bool) -> list[Expr]:
        found: list[Expr] = []
        while self._has_item(")", first=first and not found):
            found.append(self.expression())
        few = len(found) < field.least
        if few or (field.most is not None and len(found) > field.most):
            raise TextFault(at, f"expected {field.takes}, got {len(found)} arguments")
        return found

    def _binder(self) -> Path:
        """Read the name or the path that a function binds each element to."""
        at = self.skip()
        word = self.take(NAME)
        if word is not None and word[0] not in RESERVED:
            self._bound.append(word[0])
            return swarm_path([word[0]])
        if word is None and self.sees("$"):
            keys, self.at = swarm_keys(self.text, at + 1)
            if len(keys) == 1 and isinstance(keys[0], str):
                self._bound.append(keys[0])
            return swarm_path(keys)
        self.at = at
        raise self.unexpected("expected a name for each element")


def _op_of(symbol: str) -> str:
    return "in" if symbol == "not in" else _OPS[symbol]


def _signature(name: str, word: Word) -> str:
    """Return how a function is called."""
    names = [
        one.takes or ("…" if one.type == "expressions" else one.name)
        for one in word.fields
    ]
    return f"{name}({', '.join(names)})"


def _unknown_function(name: str) -> str:
    """Return the rule that the call of an unknown function breaks."""
    name = name[:LONGEST_SHOWN]
    op = OP_WORDS["swarm"].near.get(name, name)
    if op in INFIX:
        return f"write 'a {INFIX[op].symbol} b' instead of {name}(a, b)"
    if op in TEXT_NAMES:
        return f"the function '{name}' is called '{TEXT_NAMES[op]}' in texts"
    hint = hint_at(name.lower(), CALLS) or f"known: {', '.join(sorted(CALLS))}"
    return f"unknown function {name!r}; {hint}"
