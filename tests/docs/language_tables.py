"""The tables of docs/guides/the-language.md, made from the code.

`python -m tests.docs.language_tables` writes them into the page.
"""

from collections.abc import Iterable
from pathlib import Path

from engine.flow import errors
from engine.flow.grammar import JOINS, NODES, OPS, Field, Word

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
    """Returns a Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _field(field: Field) -> str:
    return f"`{field.name}`{'?' if field.optional else ''}: {field.sort}"


def _words(tag: str, words: Iterable[Word], dialect: str) -> str:
    rows = []
    for word in words:
        fields = [f for f in word.fields if dialect == "swarm" or f.dialect != "swarm"]
        if dialect == "swarm" and word.dialect != "swarm":
            fields = [field for field in fields if field.dialect == "swarm"]
        if fields and (dialect == "swarm" or word.dialect != "swarm"):
            shown = ", ".join(map(_field, fields))
            rows.append((f"`{word.name}`", shown, word.text))
    return table((f"`{tag}`", "fields", "what it does"), rows)


def tables() -> dict[str, str]:
    """Returns the tables by the names that mark them in the page."""
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
    }


def filled(page: str) -> str:
    """Returns a page with each table between its marks as the code has it."""
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
