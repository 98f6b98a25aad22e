"""Random programs of every kind of node, and the agents their steps name."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from flow_documents import at, fanout, let, lit, seq, step

from engine.blueprint.program import Agent, Program, Retry
from engine.flow import Dialect
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.testing import ScriptedSpawner

KEYS = ("a", "b", "c", "d")
QUEUES = {"quick": "swarm.lua", "far": "swarm.gpu"}
NEVER = Retry(max_attempts=1)


def agent(name: str, kind: str = "quick", retry: Retry = NEVER) -> Agent:
    """Return an agent."""
    return Agent(name, kind, QUEUES[kind], 60_000, retry)


AGENTS = {
    made.name: made
    for made in (
        agent("inc"),
        agent("far", "far"),
        agent("odd"),
        agent("blocked", "far"),
        agent("bad", "quick", Retry(max_attempts=2, base_ms=0)),
        agent("again", "quick", Retry(max_attempts=90, base_ms=0)),
        agent("later", "far", Retry(max_attempts=90, base_ms=100)),
    )
}


class Refusal(Exception):
    """What a dispatcher raises for an agent that fails."""


def answer(ref: str, value: Any) -> Any:
    """Return what an agent makes of an input; raises Refusal. The oracle's dispatcher."""
    number = value if isinstance(value, (int, float)) else 0
    match ref:
        case "odd" if number % 2:
            raise Refusal(f"odd: {number}")
        case "bad":
            raise Refusal(f"bad: {number}")
        case "blocked":
            raise Refusal('blocked: {"no":true}')
        case "far":
            return {"far": number * 2, "in": value}
        case "odd":
            return value
        case _:
            return number + 1


def attempt(call: StepCall) -> Any:
    """Make an attempt as a worker sees it: some agents pass only when tried again."""
    if call.agent.name in ("again", "later") and call.attempt < 3:
        raise Refusal("not yet")
    if call.agent.name == "blocked":
        return Outcome("blocked", {"no": True})
    return answer(call.agent.name, call.input)


def spawners(script: Any = attempt) -> dict[str, ScriptedSpawner]:
    """Return a spawner for each kind."""
    return {
        "quick": ScriptedSpawner(script),
        "far": ScriptedSpawner(script, in_process=False),
    }


def program(
    flow: Any, agents: dict[str, Agent] | None = None, dialect: Dialect = "flow.ir"
) -> Program:
    """Return a program of the agents of this page."""
    return Program("simulated", flow, agents or AGENTS, dialect=dialect)


@dataclass
class Maker:
    """Makes random flows; `left` bounds their nodes, `wide` the lanes of a fanout."""

    dice: random.Random
    left: int = 20
    wide: int = 7
    raced: bool = True
    """Whether lanes may race for what comes out (any, race, a failing all)."""

    def flow(self) -> Any:
        """Return a flow that does something."""
        return seq(*(self.guarded(4) for _ in range(self.dice.randint(2, 5))))

    def guarded(self, depth: int) -> Any:
        """Return a node that mostly does not end the flow when it fails."""
        if self.dice.random() < 0.2:
            return self.node(depth)
        caught = let("$.d", lit(9))
        body = self.node(depth - 1)
        return {"kind": "try", "body": body, "catch": caught, "err_at": at("$.err")}

    def path(self) -> str:
        """Return a path that is mostly there."""
        return self.dice.choice(
            ["$." + self.dice.choice(KEYS)] * 9
            + ["$.o.in", "$.item", "$.out", "$.out", "$.out", "$.out.out", "$.gone"]
        )

    def value(self) -> Any:
        """Return an expression."""
        roll = self.dice.random()
        if roll < 0.15:
            return at("$.out")
        if roll < 0.3:
            return lit(self.dice.choice([0, 1, 2, 7, "x", None, [1], {"k": 1}]))
        if roll < 0.5:
            path = "$." + self.dice.choice(KEYS)
            return {"op": "add", "lhs": at(path), "rhs": lit(self.dice.randint(0, 3))}
        return at(self.path())

    def target(self) -> str:
        """Return a path to write to."""
        return self.dice.choice(
            ["$." + self.dice.choice(KEYS)] * 9 + ["$.o", "$.o.p", "$.p", "$.a.z"]
        )

    def cond(self) -> Any:
        """Return a condition, mostly a boolean."""
        test = {
            "op": self.dice.choice(("lt", "eq", "gte")),
            "lhs": at("$." + self.dice.choice(KEYS)),
            "rhs": lit(self.dice.randint(0, 4)),
        }
        return self.dice.choice([test, test, test, lit(True), lit(True), at("$.a")])

    def node(self, depth: int) -> Any:
        """Return a node with at most `depth` levels below it."""
        self.left -= 1
        if depth == 0 or self.left <= 0:
            kind = self.dice.choice(("step", "step", "let"))
        else:
            kind = self.dice.choice(
                [
                    "step",
                    "step",
                    "let",
                    "seq",
                    "branch",
                    "loop",
                    "fanout",
                    "fanout",
                    "try",
                ]
            )
        return getattr(self, f"_{kind}")(depth)

    def _step(self, depth: int) -> Any:
        refs = [*AGENTS, *["inc", "far", "again"] * 3]
        return step(self.dice.choice(refs), self.value(), self.target())

    def _let(self, depth: int) -> Any:
        return let(self.target(), self.value())

    def _seq(self, depth: int) -> Any:
        return seq(*(self.node(depth - 1) for _ in range(self.dice.randint(0, 3))))

    def _branch(self, depth: int) -> Any:
        return {
            "kind": "branch", "cond": self.cond(), "then": self.node(depth - 1),
            "else": self.node(depth - 1),
        }  # fmt: skip

    def _loop(self, depth: int) -> Any:
        return {
            "kind": "loop", "counter": at(self.dice.choice(("$.i", "$.j"))),
            "cond": self.cond(), "body": self.node(depth - 1),
            "max": self.dice.randint(0, 3),
        }  # fmt: skip

    def _try(self, depth: int) -> Any:
        return {
            "kind": "try", "body": self.node(depth - 1), "catch": self.node(depth - 1),
            "err_at": self.dice.choice((None, at("$.err"), at("$.o"))),
        }  # fmt: skip

    def body(self, depth: int) -> Any:
        """Return what a lane does: often a few things in a row."""
        count = self.dice.choice((1, 1, 2, 3))
        nodes = [self.node(depth - 1) for _ in range(count)]
        return nodes[0] if count == 1 else seq(*nodes)

    def _fanout(self, depth: int) -> Any:
        size = self.dice.choice((0, 1, 2, 3, 4, self.wide))
        items = [self.dice.randint(0, 5) for _ in range(size)]
        some = self.dice.choice((lit(items), lit(items), lit(items), at("$.xs")))
        joins = (
            ["all", "all", "all_settled", "any", "race"]
            if self.raced
            else ["all_settled"]
        )
        made = fanout(
            some, self.body(depth), self.dice.choice(joins),
            self.dice.choice(("$.out", "$.out", "$.o", "$.b")),
        )  # fmt: skip
        if self.dice.random() < 0.15:
            made["bind"] = at(self.dice.choice(("$", "$.a", "$.a.z")))
        return made


CTX = {"a": 1, "b": 2, "c": 0, "d": 3, "o": {"in": 4}, "xs": [1, 2, 3]}
