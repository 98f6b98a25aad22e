"""The language: paths, expressions, nodes and what they mean."""

from engine.flow.document import Document
from engine.flow.errors import FlowError
from engine.flow.expr import evaluate_expr
from engine.flow.grammar import DIALECTS, Dialect
from engine.flow.interpreter import evaluate
from engine.flow.json_text import (
    JsonSyntaxError,
    JsonTextError,
    dump_compact,
    load_json,
)
from engine.flow.parser import read_expr, read_node
from engine.flow.path import parse_path
from engine.flow.source import find_faults, parse_expr, parse_node
from engine.flow.text_printer import print_expr

__all__ = [
    "DIALECTS",
    "Dialect",
    "Document",
    "FlowError",
    "JsonSyntaxError",
    "JsonTextError",
    "dump_compact",
    "evaluate",
    "evaluate_expr",
    "find_faults",
    "load_json",
    "parse_expr",
    "parse_node",
    "parse_path",
    "print_expr",
    "read_expr",
    "read_node",
]
