"""The words of the language: node kinds and operators with their fields, by dialect.

The parser reads by these tables, and the guide's tables are made of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

Dialect: TypeAlias = Literal["flow.ir", "swarm"]
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

Sort: TypeAlias = Literal[
    "expression",
    "expressions",
    "path expression",
    "path",
    "node",
    "nodes",
    "text",
    "JSON",
    "join",
    "integer",
    "`continue` or `fail`",
    "`text` or `object`",
]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a word: its JSON name, what it holds, and the dialect that has it."""

    name: str
    sort: Sort
    optional: bool = False
    dialect: Dialect = "flow.ir"


@dataclass(frozen=True, slots=True)
class Word:
    """A node kind or an operator; `text` says in one line what it does."""

    name: str
    text: str
    fields: tuple[Field, ...]
    dialect: Dialect = "flow.ir"

    def in_dialect(self, dialect: Dialect) -> "Word":
        """Returns the word with the fields that a dialect has."""
        kept = [f for f in self.fields if f.dialect in ("flow.ir", dialect)]
        return Word(self.name, self.text, tuple(kept), self.dialect)


def _field(name: str, sort: Sort = "expression") -> Field:
    return Field(name, sort)


def _own(name: str, sort: Sort) -> Field:
    return Field(name, sort, optional=True, dialect="swarm")


_AT = _field("at", "path expression")
_ARG = (_field("arg"),)
_ARGS = (_field("args", "expressions"),)
_PAIR = (_field("lhs"), _field("rhs"))
_EACH = (_field("in"), _field("as", "path"), _field("cond"))

NODES: Final = (
    Word(
        "step",
        "Hands `in` to the agent `ref`, writes the reply to `out`.",
        (
            _field("ref", "text"),
            _field("in"),
            _field("out", "path expression"),
        ),
    ),
    Word("seq", "Runs its children in order.", (_field("children", "nodes"),)),
    Word(
        "branch",
        "Runs `then` or `else`, as the boolean `cond` says.",
        (_field("cond"), _field("then", "node"), _field("else", "node")),
    ),
    Word(
        "fanout",
        "Runs `body` once per item, each on a Ctx of its own, and joins what they end with.",
        (
            _field("items"),
            _field("bind", "path expression"),
            _field("body", "node"),
            _field("join", "join"),
            _field("out", "path expression"),
            _own("select", "expression"),
            _own("max_parallel", "integer"),
        ),
    ),
    Word(
        "loop",
        "Runs `body` while `cond` is truthy, at most `max` times; `counter` has the count.",
        (
            _field("counter", "path expression"),
            _field("cond"),
            _field("body", "node"),
            _field("max", "integer"),
            _own("on_max", "`continue` or `fail`"),
        ),
    ),
    Word(
        "try",
        "Runs `body`; on an error takes back all its writes, notes the error at `err_at`, runs `catch`.",
        (
            _field("body", "node"),
            _field("catch", "node"),
            Field("err_at", "path expression", optional=True),
            _own("err_as", "`text` or `object`"),
        ),
    ),
    Word("let", "Writes `value` at a path.", (_field("at", "path"), _field("value"))),
    Word("assign", "As `let`, in the spelling of format 0.2.", (_AT, _field("value"))),
)

OPS: Final = (
    Word("path", "The value at a path.", (_field("at", "path"),)),
    Word("lit", "The value itself.", (_field("value", "JSON"),)),
    Word("eq", "Deep equality; numbers as doubles.", _PAIR),
    Word("ne", "Not `eq`.", _PAIR),
    Word("lt", "Less than, of two numbers or two strings.", _PAIR),
    Word("lte", "At most.", _PAIR),
    Word("gt", "More than.", _PAIR),
    Word("gte", "At least.", _PAIR),
    Word("add", "The sum, always a float.", _PAIR),
    Word("sub", "The difference, always a float.", _PAIR),
    Word("mul", "The product, always a float.", _PAIR),
    Word("div", "The quotient, always a float.", _PAIR),
    Word("mod", "The rest of a floored division, with the sign of `rhs`.", _PAIR),
    Word("and", "False at the first falsy argument, else true.", _ARGS),
    Word("or", "True at the first truthy argument, else false.", _ARGS),
    Word("not", "True for null and false.", _ARG),
    Word("exists", "The argument has a value and it is not null.", _ARG),
    Word("len", "Code points, items or keys, as an integer.", _ARG),
    Word(
        "in",
        "An array holds an item that is `eq`.",
        (_field("needle"), _field("haystack")),
    ),
    Word(
        "call_extern",
        "A pure function of the host.",
        (_field("ref", "text"), *_ARGS),
    ),
    Word(
        "default",
        "The argument, or `fallback` where a path in it is absent.",
        (*_ARG, _field("fallback")),
        "swarm",
    ),
    Word("any", "True at the first element with a truthy `cond`.", _EACH, "swarm"),
    Word("all", "False at the first element with a falsy `cond`.", _EACH, "swarm"),
    Word("filter", "The elements with a truthy `cond`.", _EACH, "swarm"),
    Word(
        "map",
        "An array of the values of `value`, one per element.",
        (*_EACH[:2], _field("value")),
        "swarm",
    ),
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that one tag (`kind` or `op`) may name in one dialect.

    `others` are the words of the other dialect, `other_fields` its fields by word.
    """

    tag: Literal["kind", "op"]
    fields: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, frozenset[str]]
    others: frozenset[str]
    other_fields: Mapping[str, frozenset[str]]


def _vocabulary(
    tag: Literal["kind", "op"], words: tuple[Word, ...], dialect: Dialect
) -> Vocabulary:
    known = {w.name: w for w in words if w.dialect in ("flow.ir", dialect)}
    mine = {name: word.in_dialect(dialect).fields for name, word in known.items()}
    return Vocabulary(
        tag=tag,
        fields={name: tuple(f.name for f in fields) for name, fields in mine.items()},
        optional={
            name: frozenset(f.name for f in fields if f.optional)
            for name, fields in mine.items()
        },
        others=frozenset(word.name for word in words) - frozenset(known),
        other_fields={
            name: frozenset(f.name for f in word.fields if f not in mine[name])
            for name, word in known.items()
        },
    )


NODE_WORDS: Final[Mapping[Dialect, Vocabulary]] = {
    dialect: _vocabulary("kind", NODES, dialect) for dialect in DIALECTS
}
OP_WORDS: Final[Mapping[Dialect, Vocabulary]] = {
    dialect: _vocabulary("op", OPS, dialect) for dialect in DIALECTS
}


@dataclass(frozen=True, slots=True)
class JoinWord:
    """A join: what it writes to `out`, what a failing lane does, what no item gives."""

    name: str
    writes: str
    failing: str
    empty: str


_NO_ITEM: Final = "`TypeError`: requires at least one item"

JOINS: Final = (
    JoinWord(
        "all",
        "An array of what every lane gives, in the order of the items.",
        "The first lane to fail fails the fanout.",
        "`[]`",
    ),
    JoinWord(
        "any",
        "What the first lane to succeed gives.",
        "The fanout fails only if all lanes fail, with the last error.",
        _NO_ITEM,
    ),
    JoinWord(
        "race",
        "What the first lane to end gives.",
        "If the first lane to end failed, so does the fanout.",
        _NO_ITEM,
    ),
    JoinWord(
        "all_settled",
        'An array of `{"status": "fulfilled", "value": …}` and'
        ' `{"status": "rejected", "reason": TEXT}`, in the order of the items.',
        "Is noted as rejected.",
        "`[]`",
    ),
)
