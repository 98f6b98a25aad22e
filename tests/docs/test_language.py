"""The page of the language: its tables are the code's, its examples are correct."""

import json
import re
from typing import Any, get_args

import pytest
from flow_cases import Host, same
from language_tables import PAGE, TEXTS, filled, tables

from engine.flow import Dialect, FlowError, evaluate, evaluate_expr
from engine.flow import parse_expr as expr_of
from engine.flow import parse_node as node_of
from engine.flow.errors import KINDS, FlowErrorKind
from engine.flow.functions import FUNCTIONS
from engine.flow.grammar import DIALECTS, JOINS, NODE_WORDS, NODES, OP_WORDS, OPS
from engine.flow.nodes import Join

EXAMPLE = re.compile(r"^```json (flow\.ir|swarm)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text())


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    hint = "run `python -m tests.support.language_tables`"
    assert PAGE.read_text() == filled(PAGE.read_text()), hint


def test_a_page_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="table: nodes"):
        filled("# The language\n")


def test_the_tables_leave_nothing_out() -> None:
    made = tables()
    for word in (*NODES, *OPS):
        whole = "".join(made.values())
        assert f"| `{word.name}` |" in whole
        if word.name not in FUNCTIONS:
            assert all(f"`{field.name}`" in whole for field in word.fields)
    assert {join.name for join in JOINS} == {join.value for join in Join}
    assert set(KINDS) == set(TEXTS) == set(get_args(FlowErrorKind))
    assert all(error.kind == kind for kind, error in TEXTS.items())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_parser_reads_every_word_of_the_grammar(dialect: Dialect) -> None:
    filling: dict[str, Any] = {
        "expression": {"op": "lit", "value": 1}, "JSON": None, "name": "n",
        "object of expressions": {"k": {"op": "path", "at": "$.a"}}, "path below $": "$.a",
        "path expression": {"op": "path", "at": "$.a"}, "path": "$.a", "text": "r",
        "node": {"kind": "seq", "children": []}, "nodes": [], "join": "all",
        "integer": 1, "positive integer": 1, "`continue` or `fail`": "fail", "`text` or `object`": "text",
    }  # fmt: skip
    for tag, words, vocabulary in (
        ("kind", NODES, NODE_WORDS[dialect]),
        ("op", OPS, OP_WORDS[dialect]),
    ):
        for word in words:
            text: dict[str, Any] = {tag: word.name}
            stored: dict[str, Any] = {tag: word.name}
            known = word.in_dialect(dialect).fields
            for field, own in zip(known, word.in_source(dialect).fields, strict=True):
                args = [{"op": "path", "at": "$.a"}] * max(1, field.least)
                text[own.name] = stored[field.name] = filling.get(field.type, args)
            read = node_of if tag == "kind" else expr_of
            if word.name not in vocabulary.words:
                with pytest.raises(FlowError, match='add "dialect": "swarm"'):
                    read(text, dialect)
            else:
                assert read(text, dialect).to_json() == stored


def test_every_section_of_the_dialect_has_an_example() -> None:
    _, _, dialect = PAGE.read_text().partition("# The dialect swarm\n")
    sections = re.split(r"^## ", dialect, flags=re.MULTILINE)[1:]
    assert len(sections) == 14
    assert all("```json swarm" in section for section in sections)


@pytest.mark.parametrize(("dialect", "text"), EXAMPLES)
def test_an_example_is_so(dialect: Dialect, text: str) -> None:
    case = json.loads(text)
    host = Host(case.get("dispatch", {}))
    try:
        if "expr" in case:
            got = {"ok": evaluate_expr(expr_of(case["expr"], dialect), case["ctx"])}
        else:
            node = node_of(case["node"], dialect)
            got = {"ok": evaluate(node, case["ctx"], host)}
    except FlowError as error:
        got = {"err": str(error)}
    assert same(got, {key: case[key] for key in ("ok", "err") if key in case})
