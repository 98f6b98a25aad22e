"""Show a flow as an indented tree, with expressions as text."""

from collections.abc import Iterator
from typing import Any, Final

from engine.blueprint import Program
from engine.blueprint.analysis.flow_walk import Spot, walk_nodes
from engine.flow import Dialect, print_expr, read_expr
from engine.flow.json_text import Json
from engine.run.journal.outputs import cut

MOST: Final = 120
ARMS: Final = frozenset({"then", "else", "catch"})


def flow_rows(program: Program) -> Iterator[tuple[int, str, str]]:
    """Yield depth, place and text of every node, in the order of the document."""
    for spot in walk_nodes(program.flow_json):
        depth = sum(1 for _ in spot.ancestors()) - 1
        arm = f"{spot.arm}: " if spot.arm in ARMS else ""
        yield depth, spot.place, arm + _NodeText(program.dialect).of(spot)


class _NodeText:
    """Write the nodes of one dialect as lines."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def of(self, spot: Spot) -> str:
        """Return one node in a line, without its children."""
        node: Any = spot.node
        match spot.kind:
            case "step":
                given, out = self._short(node["in"]), self._short(node["out"])
                name = f" ({node['name']})" if "name" in node else ""
                return f"step {node['ref']}{name}: {given} -> {out}"
            case "delete":
                return f"delete {node['at']}"
            case "seq":
                return "seq" if node["children"] else "nothing"
            case "branch":
                return f"branch {self._short(node['cond'])}"
            case "loop":
                end = "" if node.get("on_max") is None else f", then {node['on_max']}"
                return (
                    f"loop {self._short(node['cond'])}, at most {node['max']} times{end}"
                    f" (counted in {self._short(node['counter'])})"
                )
            case "fanout":
                return self._fanout(node)
            case "try":
                err_at = node.get("err_at")
                where = "" if err_at is None else f" (error to {self._short(err_at)})"
                return f"try{where}"
            case _:
                at = node["at"]
                target = at if isinstance(at, str) else self._short(at)
                return f"{target} = {self._short(node['value'])}"

    def _fanout(self, node: Any) -> str:
        more = []
        if node.get("select") is not None:
            more.append(f"select {self._short(node['select'])}")
        if node.get("max_parallel") is not None:
            more.append(f"{node['max_parallel']} at once")
        extra = f" ({', '.join(more)})" if more else ""
        return (
            f"fanout {self._short(node['bind'])} of {self._short(node['items'])},"
            f" join {node['join']} -> {self._short(node['out'])}{extra}"
        )

    def _short(self, expr: Json) -> str:
        return cut(print_expr(read_expr(expr, self._dialect)), MOST)
