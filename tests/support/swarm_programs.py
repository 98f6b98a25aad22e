"""Random programs of the dialect `swarm`: the maker of flow.ir and what it adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow_documents import at, delete, lit
from random_programs import KEYS, Maker

ARRAYS = ("$.xs", "$.out", "$.rows", "$.gone")


@dataclass
class SwarmMaker(Maker):
    """Makes flows in which every word of the dialect occurs now and then."""

    inside: int = 0

    def path(self) -> str:
        """Return a path, sometimes through an array."""
        if self.dice.random() < 0.6:
            return super().path()
        return self.dice.choice(
            ("$.xs[0]", "$.xs[-1]", "$.xs[7]", "$.out[0].item", "$.out[-1]", "$.a[0]",
             "$.rows[1].n", "$.rows[-1]", "$.it.n", "$.it")
        )  # fmt: skip

    def target(self) -> str:
        """Return a path to write to, sometimes an element."""
        if self.dice.random() < 0.75:
            return super().target()
        return self.dice.choice(
            ("$.xs[0]", "$.xs[-1]", "$.rows[0].n", "$.rows[1].more.deep", "$.out[0].z",
             "$.out[-1]", "$.rows[9]")
        )  # fmt: skip

    def array(self) -> Any:
        """Return an expression that is mostly an array."""
        return self.dice.choice([at(self.dice.choice(ARRAYS)), at("$.xs"), lit([3, 1])])

    def element(self) -> Any:
        """Return an expression of a loop's element or of what is around it."""
        it = self.dice.choice(["$.it", "$.it", "$.it", "$.it.n", "$", "$.a", "$.o"])
        if self.inside < 2 and self.dice.random() < 0.3:
            return self.loop_over()
        if self.dice.random() < 0.5:
            return {"op": "default", "arg": at(it), "fallback": lit(0)}
        return at(it)

    def test(self) -> Any:
        """Return a condition on a loop's element."""
        return {
            "op": self.dice.choice(("eq", "ne", "eq", "lt")),
            "lhs": self.element(), "rhs": lit(self.dice.randint(0, 4)),
        }  # fmt: skip

    def loop_over(self) -> Any:
        """Return one of the five loops over an array."""
        self.inside += 1
        op = self.dice.choice(("any", "all", "filter", "map", "sort_by"))
        loop = {"op": op, "in": self.array(), "as": "$.it"}
        loop["as"] = self.dice.choice(["$.it"] * 8 + ["$", "$.o.it", "$.a.b"])
        takes_value = op in ("map", "sort_by")
        inner = {"value": self.element()} if takes_value else {"cond": self.test()}
        self.inside -= 1
        return loop | inner

    def value(self) -> Any:
        """Return an expression."""
        roll = self.dice.random()
        if roll < 0.5:
            return super().value()
        if roll < 0.65:
            return self.loop_over()
        if roll < 0.85:
            return self.made()
        found = self.dice.choice([at(self.path()), super().value()])
        return {"op": "default", "arg": found, "fallback": lit(self.dice.randint(0, 3))}

    def made(self) -> Any:
        """Return a value made of others, one of which is part of the Ctx."""
        parts = [at(self.path()), lit(2)]
        match self.dice.choice(("object", "array", "template", "array of it", "merge")):
            case "object":
                return {"op": "object", "entries": dict(zip("ab", parts, strict=True))}
            case "array":
                return {"op": "array", "items": parts}
            case "template":
                return {"op": "template", "parts": [lit("n "), at(self.path())]}
            case "merge":
                new = {"op": "object", "entries": {"c": parts[0]}}
                return {"op": "merge", "args": [at("$.o"), new]}
        name = self.dice.choice(("sort", "unique", "sum", "max"))
        return {"op": name, "args": [self.array()]}

    def cond(self) -> Any:
        """Return a condition, mostly a boolean."""
        if self.dice.random() < 0.75:
            return super().cond()
        loop = {"op": self.dice.choice(("any", "all")), "in": at("$.xs"), "as": "$.it"}
        return loop | {"cond": self.test()}

    def guarded(self, depth: int) -> Any:
        """Return a node that mostly does not end the flow when it fails."""
        made = super().guarded(depth)
        return self._told(made) if made["kind"] == "try" else made

    def _let(self, depth: int) -> Any:
        if self.dice.random() < 0.3:
            return delete(self.target())
        return super()._let(depth)

    def _try(self, depth: int) -> Any:
        return self._told(super()._try(depth))

    def _told(self, made: Any) -> Any:
        if made["err_at"] is not None and self.dice.random() < 0.5:
            made["err_as"] = self.dice.choice(("text", "object"))
        return made

    def _loop(self, depth: int) -> Any:
        made = super()._loop(depth)
        if self.dice.random() < 0.5:
            made["on_max"] = self.dice.choice(("continue", "fail"))
        return made

    def _fanout(self, depth: int) -> Any:
        made = super()._fanout(depth)
        if self.dice.random() < 0.6:
            some = ["$.item", "$.item", "$." + self.dice.choice(KEYS), "$", "$.out"]
            made["select"] = self.dice.choice(
                [at(self.dice.choice(some)), self.value()]
            )
        if self.dice.random() < 0.5:
            made["max_parallel"] = self.dice.choice((1, 2, 3, 100))
        return made


CTX = {
    "a": 1, "b": 2, "c": 0, "d": 3, "o": {"in": 4}, "xs": [1, 2, 3],
    "rows": [{"n": 0}, {"n": 2}],
}  # fmt: skip
