"""The tables of docs/guides/the-language.md, made from the code.

`python -m tests.support.language_tables` writes them into the page.
"""

from collections.abc import Iterable
from pathlib import Path

from engine.flow import errors
from engine.flow.functions import FUNCTIONS, Parameter
from engine.flow.grammar import INFIX, JOINS, NODES, OPS, TEXT_NAMES, Field, Word

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "the-language.md"

TEXTS = {
    "PathNotFound": errors.path_not_found("PATH"),
    "InvalidPath": errors.invalid_path("WHY"),
    "NonBoolCond": errors.non_bool_cond("JSON"),
    "TypeError": errors.type_error("OP", "WHY"),
    "ArithError": errors.arith_error("OP", "WHY"),
    "DispatcherError": errors.dispatcher_error("AGENT", "TEXT"),
    "ExternError": errors.extern_error("REF", "TEXT"),
    "ParseError": errors.parse_error("PLACE", "RULE"),
    "LoopLimit": errors.loop_limit(3),
}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _field(field: Field) -> str:
    return f"`{field.name}`{'?' if field.optional else ''}: {field.type}"


def _words(tag: str, words: Iterable[Word], dialect: str) -> str:
    rows = []
    for word in words:
        if word.name in FUNCTIONS:
            continue
        fields = [f for f in word.fields if dialect == "swarm" or f.dialect != "swarm"]
        if dialect == "swarm" and word.dialect != "swarm":
            source = word.in_source("swarm").fields
            fields = [f for f in source if f.source or f.dialect == "swarm"]
        if fields and (dialect == "swarm" or word.dialect != "swarm"):
            shown = ", ".join(map(_field, fields))
            rows.append((f"`{word.name}`", shown, word.text))
    return table((f"`{tag}`", "fields", "what it does"), rows)


def _parameter(one: Parameter) -> str:
    more = " (one or more)" if one.repeated else ""
    return f"`{one.name}`{'?' if one.optional else ''}: {one.type}{more}"


def _functions() -> str:
    rows = (
        (
            f"`{one.name}`",
            ", ".join(map(_parameter, one.parameters)),
            one.gives,
            one.text,
        )
        for one in FUNCTIONS.values()
    )
    return table(("`op`", "arguments", "gives", "what it gives"), rows)


def _texts() -> str:
    """Return how texts write what is no function with the name of its operator."""
    infix = {f"a {one.symbol} b": op for op, one in INFIX.items()}
    calls = {f"{name}(a)": op for op, name in TEXT_NAMES.items()}
    forms = {
        "$.a": "path", "1, 'text', true, null": "lit", '"text {a}"': "template",
        "{k: a}": "object", "[a, b]": "array", "$.a[0:9]": "slice", "not a": "not",
    }  # fmt: skip
    rows = {**forms, **infix, **calls}
    return table(
        ("text", "`op`"), ((f"`{text}`", f"`{op}`") for text, op in rows.items())
    )


def tables() -> dict[str, str]:
    """Return the tables by the names that mark them in the page."""
    return {
        "nodes": _words("kind", NODES, "flow.ir"),
        "expressions": _words("op", OPS, "flow.ir"),
        "joins": table(
            ("`join`", "`out` gets", "a lane that fails", "no items"),
            ((f"`{j.name}`", j.writes, j.failing, j.empty) for j in JOINS),
        ),
        "errors": table(
            ("kind", "when", "text"),
            (
                (f"`{kind}`", when, f"`{TEXTS[kind]}`")
                for kind, when in errors.KINDS.items()
            ),
        ),
        "nodes of swarm": _words("kind", NODES, "swarm"),
        "expressions of swarm": _words("op", OPS, "swarm"),
        "functions": _functions(),
        "text": _texts(),
    }


def filled(page: str) -> str:
    """Return a page with each table between its marks as the code has it."""
    for name, text in tables().items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end of table -->"
        before, _, rest = page.partition(start)
        if not rest:
            raise ValueError(f"the page has no mark {start.strip()}")
        _, _, after = rest.partition(end)
        page = f"{before}{start}{text}{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
