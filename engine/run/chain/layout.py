"""The layout of a flow for the machine: nodes numbered in preorder, with their children."""

from __future__ import annotations

from typing import assert_never

from engine.flow.nodes import (
    Assign,
    Branch,
    Delete,
    Fanout,
    Loop,
    Node,
    Seq,
    Step,
    Try,
)


class Layout:
    """The numbered nodes of one flow.

    `nodes[i]` is the node, `children[i]` the numbers of its children in the order the
    machine uses (a branch: then, else; a try: body, catch) and `edges[i]` the piece of
    a place that leads from its parent to it.
    """

    __slots__ = ("children", "edges", "nodes", "parents")

    def __init__(self, flow: Node) -> None:
        """Give each node of a flow a number, without recursion, so that any depth fits."""
        self.nodes: list[Node] = []
        self.children: list[tuple[int, ...]] = []
        self.edges: list[str] = []
        self.parents: list[int] = []
        stack: list[tuple[Node, str, int]] = [(flow, "", -1)]
        kids: list[list[int]] = []
        while stack:
            node, edge, parent = stack.pop()
            number = len(self.nodes)
            self.nodes.append(node)
            self.edges.append(edge)
            self.parents.append(parent)
            kids.append([])
            if parent >= 0:
                kids[parent].append(number)
            stack.extend((c, e, number) for c, e in reversed(_children(node)))
        self.children = [tuple(k) for k in kids]

    def first_step(self, number: int) -> Step | None:
        """Return the first step in document order at or below a node, if any."""
        stack = [number]
        while stack:
            at = stack.pop()
            node = self.nodes[at]
            if isinstance(node, Step):
                return node
            stack.extend(reversed(self.children[at]))
        return None


def _children(node: Node) -> list[tuple[Node, str]]:
    match node:
        case Step() | Assign() | Delete():
            return []
        case Seq():
            return [(c, f"/children/{i}") for i, c in enumerate(node.children)]
        case Branch():
            return [(node.then, "/then"), (node.otherwise, "/else")]
        case Loop():
            return [(node.body, "/body")]
        case Try():
            return [(node.body, "/body"), (node.catch, "/catch")]
        case Fanout():
            # A lane's place names its index: the chain's prefix ends in /lane[i].
            return [(node.body, "")]
        case _:
            assert_never(node)
