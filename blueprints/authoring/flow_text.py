"""A flow as an indented tree, and its expressions as people write them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.blueprint.flow_walk import Spot, walk_nodes
from engine.flow import dump_compact
from engine.flow.json_text import Json

INFIX: Final[Mapping[str, str]] = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "mod": "%",
}
MOST: Final = 120
ARMS: Final = frozenset({"then", "else", "catch"})


def flow_rows(flow: Json) -> Iterator[tuple[int, str, str]]:
    """Yields depth, place and text of every node, in the order of the document."""
    for spot in walk_nodes(flow):
        depth = sum(1 for _ in spot.ancestors()) - 1
        arm = f"{spot.arm}: " if spot.arm in ARMS else ""
        yield depth, spot.place, arm + node_text(spot)


def node_text(spot: Spot) -> str:
    """Returns one node in a line, without those below it."""
    node: Any = spot.node
    match spot.kind:
        case "step":
            return f"step {node['ref']}: {_short(node['in'])} -> {_target(node['out'])}"
        case "seq":
            return "seq" if node["children"] else "nothing"
        case "branch":
            return f"branch {_short(node['cond'])}"
        case "loop":
            end = "" if node.get("on_max") is None else f", then {node['on_max']}"
            counter = _target(node["counter"])
            return (
                f"loop {_short(node['cond'])}, at most {node['max']} times{end}"
                f" (counted in {counter})"
            )
        case "fanout":
            return _fanout(node)
        case "try":
            err_at = node.get("err_at")
            return "try" if err_at is None else f"try (error to {_target(err_at)})"
        case _:
            return f"{_target(node['at'])} = {_short(node['value'])}"


def expr_text(expr: Json) -> str:
    """Returns an expression in one line."""
    node: Any = expr
    op = node["op"]
    match op:
        case "path":
            return str(node["at"])
        case "lit":
            return dump_compact(node["value"])
        case "and" | "or":
            return f"({f' {op} '.join(map(expr_text, node['args']))})"
        case "in":
            return f"({expr_text(node['needle'])} in {expr_text(node['haystack'])})"
        case "call_extern":
            return f"{node['ref']}({', '.join(map(expr_text, node['args']))})"
        case "default":
            return f"default({expr_text(node['arg'])}, {expr_text(node['fallback'])})"
        case _ if op in INFIX:
            return f"({expr_text(node['lhs'])} {INFIX[op]} {expr_text(node['rhs'])})"
        case _ if "as" in node:
            below = node["value"] if "value" in node else node["cond"]
            return f"{op}({node['as']} of {expr_text(node['in'])}: {expr_text(below)})"
        case _:
            return f"{op}({expr_text(node['arg'])})"


def _fanout(node: Any) -> str:
    more = []
    if node.get("select") is not None:
        more.append(f"select {_short(node['select'])}")
    if node.get("max_parallel") is not None:
        more.append(f"{node['max_parallel']} at once")
    extra = f" ({', '.join(more)})" if more else ""
    return (
        f"fanout {_target(node['bind'])} of {_short(node['items'])},"
        f" join {node['join']} -> {_target(node['out'])}{extra}"
    )


def _short(expr: Json) -> str:
    text = expr_text(expr)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def _target(at: Any) -> str:
    return at if isinstance(at, str) else expr_text(at)
