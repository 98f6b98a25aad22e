"""Random flows of the dialect `swarm`, and single edits of them as a person makes them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LIST = "children"
BELOW = ("body", "catch", "then", "else")


def blueprint(flow: Any, **more: Any) -> Any:
    """Return a Blueprint of the dialect `swarm` with a flow."""
    return {"id": "edited", "dialect": "swarm", "flow": flow, **more}


def nodes_of(node: Any) -> Iterator[Any]:
    """Yield a node and those inside it, in the order of the document."""
    yield node
    for arm in BELOW:
        if arm in node:
            yield from nodes_of(node[arm])
    for child in node.get(LIST, []):
        yield from nodes_of(child)


@dataclass
class Editor:
    """Makes flows and edits them; few different leaves occur, so that many are equal."""

    dice: random.Random
    named: int = 0
    made: int = 0

    def leaf(self) -> Any:
        """Return a step, a let or a delete."""
        number = self.dice.randint(0, 3)
        match self.dice.choice(("step", "step", "named", "let", "delete")):
            case "named":
                self.named += 1
                return {**self.step(number), "name": f"n{self.named}"}
            case "step":
                return self.step(number)
            case "let":
                return {"kind": "let", "at": f"$.a{number}", "value": "$.b + 1"}
            case _:
                return {"kind": "delete", "at": f"$.a{number}"}

    def step(self, number: int) -> Any:
        """Return a step without a name."""
        agent = self.dice.choice(("writer", "editor"))
        return {"kind": "step", "agent": agent, "in": "$.a", "out": f"$.a{number}"}

    def node(self, depth: int) -> Any:
        """Return a node of at most so many levels."""
        if depth == 0 or self.dice.random() < 0.5:
            return self.leaf()
        body = {"body": self.list_of(depth - 1)}
        # No two containers are equal but for what is in them: what is dragged from one
        # to the other may leave the first as the second was, and then it is just as true
        # that the two changed places. So a sequence is only in an arm, too.
        self.made += 1
        own = f"$.c{self.made}"
        match self.dice.choice(("branch", "loop", "try", "fanout")):
            case "branch":
                arms = {"then": body["body"], "else": self.list_of(depth - 1)}
                return {"kind": "branch", "cond": own, **arms}
            case "loop":
                head = {"counter": own, "cond": "$.n < 3", "max": 3}
                return {"kind": "loop", **head, **body}
            case "try":
                caught = {"catch": self.list_of(depth - 1), "err_at": own}
                return {"kind": "try", **body, **caught}
            case _:
                head = {"items": own, "bind": "$.x", "join": "any", "out": "$.o"}
                return {"kind": "fanout", **head, **body}

    def list_of(self, depth: int) -> Any:
        """Return a sequence."""
        count = self.dice.randint(0, 4)
        return {"kind": "seq", LIST: [self.node(depth) for _ in range(count)]}

    def edited(self, flow: Any, how: str) -> Any | None:
        """Return a copy of a flow after one edit, None where it can't be made."""
        flow = copy.deepcopy(flow)
        lists = [one[LIST] for one in nodes_of(flow) if LIST in one]
        spots = [(one, n) for one in lists for n in range(len(one))]
        match how:
            case "added":
                place = self.dice.choice(lists)
                place.insert(self.dice.randint(0, len(place)), self.node(1))
            case _ if not spots:
                return None
            case "removed":
                place, n = self.dice.choice(spots)
                del place[n]
            case "moved":
                place, n = self.dice.choice(spots)
                node = place.pop(n)
                inside = [id(one) for one in nodes_of(node)]
                lists = [one[LIST] for one in nodes_of(flow) if LIST in one]
                assert not {id(one) for one in lists} & set(inside)
                place = self.dice.choice(lists)
                place.insert(self.dice.randint(0, len(place)), node)
            case "renamed":
                named = [one for one in nodes_of(flow) if "name" in one]
                if not named:
                    return None
                self.named += 1
                self.dice.choice(named)["name"] = f"n{self.named}"
            case "changed":
                self._change(self.dice.choice([*nodes_of(flow)]))
        return flow

    def _change(self, node: Any) -> None:
        number = self.dice.randint(0, 9)
        fields = {
            "step": {"agent": "critic", "in": f"$.c{number}", "out": f"$.c{number}"},
            "let": {"at": f"$.c{number}", "value": number},
            "delete": {"at": f"$.c{number}"},
            "branch": {"cond": f"$.n == {number}"},
            "loop": {"max": 10 + number, "cond": f"$.n < {number + 5}"},
            "try": {"err_at": f"$.c{number}"},
            "fanout": {"items": f"$.c{number}", "bind": "$.it", "out": "$.all"},
            "seq": {},
        }[node["kind"]]
        if fields:
            field = self.dice.choice([*fields])
            node[field] = fields[field]
