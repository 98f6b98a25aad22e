"""The words of the language: node kinds and operators with their fields, by dialect.

The parser, the JSON Schema and the tables of the guide are made from these tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

from engine.flow.functions import FUNCTIONS
from engine.visible import CONTROLS

Dialect: TypeAlias = Literal["flow.ir", "swarm"]
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

FieldType: TypeAlias = Literal[
    "expression",
    "expressions",
    "object of expressions",
    "path expression",
    "path",
    "path below $",
    "node",
    "nodes",
    "text",
    "name",
    "JSON",
    "join",
    "integer",
    "positive integer",
    "`continue` or `fail`",
    "`text` or `object`",
]


DOLLAR_KEYS: Final = ("$step_meta", "$in")
"""The only keys with `$` of a constructor: those of an object that is a step's `in`."""

CHOICES: Final[Mapping[FieldType, tuple[str, ...]]] = {
    "`continue` or `fail`": ("continue", "fail"),
    "`text` or `object`": ("text", "object"),
}


LONGEST_NAME: Final = 128
# A slash begins a place, and brackets have the visit, as in `draft[2]`.
NAME: Final = rf"^[^/\[\]\t\n{CONTROLS}][^\[\]\t\n{CONTROLS}]*$"
"""The pattern of a step's name."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a word: its JSON name, its type, and the dialect that has it.

    Null stands for an absent `nullable` field; `needs` names a field that must have a
    value where this one is given. `least` and `most` bound the number of expressions,
    and `takes` describes them.
    """

    name: str
    type: FieldType = "expression"
    optional: bool = False
    dialect: Dialect = "flow.ir"
    nullable: bool = False
    needs: str = ""
    least: int = 0
    most: int | None = None
    takes: str = ""
    dollar_keys: tuple[str, ...] = ()
    source: str = ""
    """The name that an author of the dialect `swarm` writes, where it is another."""
    gets: str = ""
    """What the path gets, for the remedy of an absent field."""


@dataclass(frozen=True, slots=True)
class Word:
    """A node kind or an operator; `text` describes it in one line."""

    name: str
    text: str
    fields: tuple[Field, ...]
    dialect: Dialect = "flow.ir"
    near: Mapping[str, str] = field(default_factory=dict)
    """Words that authors write by mistake as fields, with what to write instead."""
    names: frozenset[str] = field(init=False, repr=False)
    """The names of all fields."""
    required: frozenset[str] = field(init=False, repr=False)
    """The names of the fields that are not optional."""

    def __post_init__(self) -> None:
        """Note the names of the fields."""
        needed = (one.name for one in self.fields if not one.optional)
        object.__setattr__(self, "names", frozenset(one.name for one in self.fields))
        object.__setattr__(self, "required", frozenset(needed))

    def in_dialect(self, dialect: Dialect) -> "Word":
        """Return the word with the fields that a dialect has."""
        kept = [f for f in self.fields if f.dialect in ("flow.ir", dialect)]
        return replace(self, fields=tuple(kept))

    def in_source(self, dialect: Dialect) -> "Word":
        """Return the word with the fields that an author of a dialect writes."""
        word = self.in_dialect(dialect)
        if dialect == "flow.ir":
            return word
        near = {
            f.name: f"did you mean '{f.source}'? `blueprint upgrade` rewrites it"
            for f in word.fields
            if f.source
        }
        fields = tuple(replace(f, name=f.source or f.name) for f in word.fields)
        return replace(word, fields=fields, near={**word.near, **near})


def _swarm_field(name: str, type_: FieldType, needs: str = "") -> Field:
    return Field(name, type_, optional=True, dialect="swarm", needs=needs)


_AT = Field("at", "path expression")
_ARG = (Field("arg"),)
_ARGS = (Field("args", "expressions"),)
_PAIR = (Field("lhs"), Field("rhs"))
_EACH = (Field("in"), Field("as", "path"), Field("cond"))

_POLICY: Final = {
    word: f"it belongs to the agent: write {example} in `agents`"
    for words, example in (
        (("timeout", "timeout_s", "timeout_secs"), "timeout: 30s"),
        (
            ("retry", "retries", "max_retries", "max_attempts"),
            "retry: {max_attempts: 3}",
        ),
        (("queue",), "queue: NAME"),
        (("priority",), "priority: hi"),
        (("limit",), "limit: {key: EXPRESSION, max: 2}"),
    )
    for word in words
}

NODES: Final = (
    Word(
        "step",
        "Hands `in` to the agent `ref`, writes the reply to `out`.",
        (
            Field("ref", "text", source="agent"),
            Field("in", dollar_keys=DOLLAR_KEYS),
            Field("out", "path expression", gets="the answer"),
            _swarm_field("name", "name"),
        ),
        near={**_POLICY, "agent": "did you mean 'ref'? Dialect swarm has 'agent'"},
    ),
    Word("seq", "Runs its children in order.", (Field("children", "nodes"),)),
    Word(
        "branch",
        "Runs `then` or `else`, depending on the boolean `cond`.",
        (Field("cond"), Field("then", "node"), Field("else", "node")),
    ),
    Word(
        "fanout",
        "Runs `body` once per item, each time on its own Ctx, and joins the results.",
        (
            Field("items"),
            Field("bind", "path expression"),
            Field("body", "node"),
            Field("join", "join"),
            Field("out", "path expression"),
            _swarm_field("select", "expression"),
            _swarm_field("max_parallel", "positive integer"),
        ),
    ),
    Word(
        "loop",
        "Runs `body` while `cond` is truthy, at most `max` times; `counter` has the count.",
        (
            Field("counter", "path expression"),
            Field("cond"),
            Field("body", "node"),
            Field("max", "integer"),
            _swarm_field("on_max", "`continue` or `fail`"),
        ),
    ),
    Word(
        "try",
        "Runs `body`; on an error takes back all its writes, writes the error to `err_at`, runs `catch`.",
        (
            Field("body", "node"),
            Field("catch", "node"),
            Field("err_at", "path expression", optional=True, nullable=True),
            _swarm_field("err_as", "`text` or `object`", needs="err_at"),
        ),
    ),
    Word("let", "Writes `value` at a path.", (Field("at", "path"), Field("value"))),
    Word("assign", "As `let`, in the spelling of format 0.2.", (_AT, Field("value"))),
    Word(
        "delete",
        "Removes what is at a path; nothing to remove is no error.",
        (Field("at", "path below $"),),
        "swarm",
    ),
)

OPS: Final = (
    Word("path", "The value at a path.", (Field("at", "path"),)),
    Word("lit", "The value itself.", (Field("value", "JSON"),)),
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
        (Field("needle"), Field("haystack")),
    ),
    Word(
        "call_extern",
        "A pure function of the host.",
        (Field("ref", "text"), *_ARGS),
    ),
    Word(
        "default",
        "The argument, or `fallback` where a path in it is absent.",
        (*_ARG, Field("fallback")),
        "swarm",
    ),
    Word("any", "True at the first element with a truthy `cond`.", _EACH, "swarm"),
    Word("all", "False at the first element with a falsy `cond`.", _EACH, "swarm"),
    Word("filter", "The elements with a truthy `cond`.", _EACH, "swarm"),
    Word(
        "map",
        "An array of the values of `value`, one per element.",
        (*_EACH[:2], Field("value")),
        "swarm",
    ),
    Word(
        "sort_by",
        "The elements in the order of `value`, all numbers or all strings.",
        (*_EACH[:2], Field("value")),
        "swarm",
    ),
    Word(
        "object",
        "An object of the values of `entries`.",
        (Field("entries", "object of expressions"),),
        "swarm",
    ),
    Word(
        "array",
        "An array of the values of `items`.",
        (Field("items", "expressions"),),
        "swarm",
    ),
    Word(
        "template",
        "One string of all `parts`; what is no string is written as by `to_string`.",
        (Field("parts", "expressions"),),
        "swarm",
    ),
    *(
        Word(
            one.name,
            one.text,
            (
                Field(
                    "args",
                    "expressions",
                    least=one.least,
                    most=one.most,
                    takes=one.signature,
                ),
            ),
            "swarm",
        )
        for one in FUNCTIONS.values()
    ),
)


# Words of other languages, by the word that stands for them here.
_NEAR_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "branch": ("if", "switch", "when", "cond"),
    "loop": ("while", "for", "repeat", "until"),
    "fanout": ("map", "parallel", "foreach", "for_each", "each"),
    "let": ("set", "var"),
    "delete": ("remove", "unset", "del"),
    "seq": ("sequence", "do", "block", "steps"),
    "step": ("call", "task", "run", "agent"),
}
_NEAR_OPS: Final[Mapping[str, Sequence[str]]] = {
    "eq": ("equals", "equal", "==", "="),
    "ne": ("neq", "not_equals", "!=", "<>"),
    "lt": ("<",),
    "lte": ("<=",),
    "gt": (">",),
    "gte": (">=",),
    "add": ("+", "plus"),
    "sub": ("-", "minus"),
    "mul": ("*", "times"),
    "div": ("/",),
    "mod": ("%",),
    "and": ("&&",),
    "or": ("||",),
    "not": ("!",),
    "len": ("length", "size", "count"),
    "lit": ("literal", "value", "const"),
    "path": ("var", "get_path", "ref"),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that one tag (`kind` or `op`) may name in one dialect.

    `all_words` are those of every dialect with all their fields, `near` the words of
    other languages with the one that stands for each here. With `texts`, an author
    writes expressions as text.
    """

    tag: Literal["kind", "op"]
    words: Mapping[str, Word]
    all_words: Mapping[str, Word]
    near: Mapping[str, str]
    texts: bool = False


def _vocabulary(
    tag: Literal["kind", "op"],
    words: tuple[Word, ...],
    dialect: Dialect,
    near: Mapping[str, Sequence[str]],
) -> Vocabulary:
    known = [w for w in words if w.dialect in ("flow.ir", dialect)]
    return Vocabulary(
        tag=tag,
        words={word.name: word.in_dialect(dialect) for word in known},
        all_words={word.name: word for word in words},
        near={other: name for name, others in near.items() for other in others},
    )


NODE_WORDS: Final[Mapping[Dialect, Vocabulary]] = {
    dialect: _vocabulary("kind", NODES, dialect, _NEAR_KINDS) for dialect in DIALECTS
}
SOURCE_NODES: Final = replace(
    NODE_WORDS["swarm"],
    words={name: w.in_source("swarm") for name, w in NODE_WORDS["swarm"].words.items()},
    all_words={word.name: word.in_source("swarm") for word in NODES},
    texts=True,
)
"""The nodes with the fields that authors of the dialect `swarm` write."""
OP_WORDS: Final[Mapping[Dialect, Vocabulary]] = {
    dialect: _vocabulary("op", OPS, dialect, _NEAR_OPS) for dialect in DIALECTS
}


@dataclass(frozen=True, slots=True)
class JoinWord:
    """A join: what it writes to `out`, the effect of a failing lane, and of no items.

    One that `collects` writes the values of all lanes.
    """

    name: str
    writes: str
    failing: str
    empty: str
    collects: bool


_NO_ITEM: Final = "`TypeError`: requires at least one item"

JOINS: Final = (
    JoinWord(
        "all",
        "An array of the values of all lanes, in the order of the items.",
        "The first lane to fail fails the fanout.",
        "`[]`",
        collects=True,
    ),
    JoinWord(
        "any",
        "The value of the first lane to succeed.",
        "The fanout fails only if all lanes fail, with the last error.",
        _NO_ITEM,
        collects=False,
    ),
    JoinWord(
        "race",
        "The value of the first lane to end.",
        "If the first lane to end failed, so does the fanout.",
        _NO_ITEM,
        collects=False,
    ),
    JoinWord(
        "all_settled",
        'An array of `{"status": "fulfilled", "value": …}` and'
        ' `{"status": "rejected", "reason": TEXT}`, in the order of the items.',
        "It is collected as rejected.",
        "`[]`",
        collects=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Infix:
    """How the text of an expression writes an operator; a higher `level` binds closer."""

    symbol: str
    level: int


OR_LEVEL: Final = 1
AND_LEVEL: Final = 2
NOT_LEVEL: Final = 3
COMPARISON_LEVEL: Final = 4
SUM_LEVEL: Final = 5
PRODUCT_LEVEL: Final = 6
INFIX: Final[Mapping[str, Infix]] = {
    "or": Infix("or", OR_LEVEL),
    "and": Infix("and", AND_LEVEL),
    "eq": Infix("==", COMPARISON_LEVEL),
    "ne": Infix("!=", COMPARISON_LEVEL),
    "lt": Infix("<", COMPARISON_LEVEL),
    "lte": Infix("<=", COMPARISON_LEVEL),
    "gt": Infix(">", COMPARISON_LEVEL),
    "gte": Infix(">=", COMPARISON_LEVEL),
    "in": Infix("in", COMPARISON_LEVEL),
    "add": Infix("+", SUM_LEVEL),
    "sub": Infix("-", SUM_LEVEL),
    "mul": Infix("*", PRODUCT_LEVEL),
    "div": Infix("/", PRODUCT_LEVEL),
    "mod": Infix("%", PRODUCT_LEVEL),
}
"""The operators between operands, with the precedence of Python."""
RESERVED: Final = frozenset({"and", "or", "not", "in", "true", "false", "null", "ctx"})
"""The names of the text of expressions that nothing can be bound to."""
TEXT_NAMES: Final[Mapping[str, str]] = {"len": "length"}
"""The names of operators that texts call by another name."""
_OWN_FORM: Final = frozenset({"path", "lit", "not", "object", "array", "template"})
CALLS: Final[Mapping[str, Word]] = {
    TEXT_NAMES.get(word.name, word.name): word
    for word in OPS
    if word.name in ("and", "or")
    or (word.name not in INFIX and word.name not in _OWN_FORM)
}
"""The operators that texts call like a function, by their names there."""
COLLECTING: Final = tuple(join.name for join in JOINS if join.collects)
"""The joins for which an author of the dialect `swarm` writes `select`."""
