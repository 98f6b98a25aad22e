"""The page of the language: its tables are the code's, its examples are so."""

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
from engine.flow.expr_reader import read_expr
from engine.flow.grammar import DIALECTS, JOINS, NODE_WORDS, NODES, OP_WORDS, OPS
from engine.flow.nodes import Join

EXAMPLE = re.compile(r"^```json (flow\.ir|swarm)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text())


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    told = "run `python -m tests.docs.language_tables`"
    assert PAGE.read_text() == filled(PAGE.read_text()), told


def test_a_page_without_a_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="table: nodes"):
        filled("# The language\n")


def test_the_tables_leave_nothing_out() -> None:
    made = tables()
    for word in (*NODES, *OPS):
        whole = "".join(made.values())
        assert f"| `{word.name}` |" in whole
        assert all(f"`{field.name}`" in whole for field in word.fields)
    assert {join.name for join in JOINS} == {join.value for join in Join}
    assert set(KINDS) == set(TEXTS) == set(get_args(FlowErrorKind))
    assert all(error.kind == kind for kind, error in TEXTS.items())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_parser_reads_every_word_of_the_grammar(dialect: Dialect) -> None:
    filling: dict[str, Any] = {
        "expression": {"op": "lit", "value": 1}, "expressions": [], "JSON": None,
        "path expression": {"op": "path", "at": "$.a"}, "path": "$.a", "text": "r",
        "node": {"kind": "seq", "children": []}, "nodes": [], "join": "all",
        "integer": 1, "`continue` or `fail`": "fail", "`text` or `object`": "text",
    }  # fmt: skip
    for tag, words, vocabulary in (
        ("kind", NODES, NODE_WORDS[dialect]),
        ("op", OPS, OP_WORDS[dialect]),
    ):
        for word in words:
            known = word.in_dialect(dialect).fields
            text = {tag: word.name} | {f.name: filling[f.sort] for f in known}
            if word.name not in vocabulary.fields:
                with pytest.raises(FlowError, match='add "dialect": "swarm"'):
                    expr_of(text, dialect)
            elif tag == "kind":
                assert node_of(text, dialect).to_json() == text
            else:
                assert read_expr(text, "$", dialect).to_json() == text


def test_every_section_of_the_dialect_has_an_example() -> None:
    _, _, dialect = PAGE.read_text().partition("# The dialect swarm\n")
    sections = re.split(r"^## ", dialect, flags=re.MULTILINE)[1:]
    assert len(sections) == 7
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
