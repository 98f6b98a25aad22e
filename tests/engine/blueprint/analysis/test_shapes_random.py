"""No value that a run had contradicts what was known of it before."""

import contextlib
import random
from collections.abc import Mapping
from typing import Any

import pytest
from flow_documents import at, lit

from engine.blueprint.analysis.flow_shapes import find_shapes
from engine.blueprint.analysis.flow_walk import Spot, walk_nodes
from engine.blueprint.analysis.shapes import ANY, Shape, either, shape_of_value
from engine.flow import FlowError, evaluate, read_node
from engine.flow.values import type_name

PATHS = (
    "$.a",
    "$.b",
    "$.c",
    "$.a.x",
    "$.a.y",
    "$.b.x",
    "$.b.x.y",
    "$.xs[0]",
    "$.xs[0].x",
)
WRITTEN = (
    "$.a",
    "$.b",
    "$.c",
    "$.a.x",
    "$.a.y",
    "$.b.x",
    "$.xs",
    "$.xs[0]",
    "$.xs[0].x",
)
VALUES: Any = (1, "text", None, True, [], [1], {}, {"x": 1}, {"x": {"y": 2}}, {"y": "t"},
               [{"x": 1}, {"y": 2}])  # fmt: skip
NOTHING: Any = {"kind": "seq", "children": []}
SEEDS = 100


class Maker:
    """Makes flows of few paths, so that writes and reads meet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.steps = 0

    def node(self, depth: int) -> Any:
        sorts = ["step", "step", "step", "let", "let", "delete"]
        if depth:
            sorts += ["seq", "seq", "branch", "loop", "fanout", "attempt"]
        return getattr(self, sorts[self.rng.randrange(len(sorts))])(depth - 1)

    def expr(self, depth: int = 2) -> Any:
        one = self.rng.randrange(9) if depth else self.rng.randrange(4)
        if one < 3:
            return at(self.rng.choice(PATHS))
        inner = [self.expr(depth - 1) for _ in range(2)] if depth else []
        array = {"op": "default", "arg": at("$.xs"), "fallback": lit([1, "a"])}
        return {
            4: {"op": "object", "entries": dict(zip("xy", inner, strict=False))},
            5: {"op": "array", "items": inner},
            6: {"op": "default", "arg": at(self.rng.choice(PATHS)), "fallback": lit(1)},
            7: {"op": "map", "in": array, "as": "$.e", "value": at("$.e")},
            8: {"op": "filter", "in": array, "as": "$.e", "cond": lit(True)},
        }.get(one, lit(self.rng.choice(VALUES)))

    def step(self, _: int) -> Any:
        """A step, which may fail alone or end what is around it."""
        self.steps += 1
        made = {"kind": "step", "ref": f"s{self.steps}", "in": self.expr(1)}
        made["out"] = at(self.rng.choice(WRITTEN))
        if self.rng.random() < 0.2:
            return made
        return {"kind": "try", "body": made, "catch": NOTHING}

    def let(self, _: int) -> Any:
        made = {"kind": "let", "at": self.rng.choice(WRITTEN), "value": self.expr()}
        return {"kind": "try", "body": made, "catch": NOTHING}

    def delete(self, _: int) -> Any:
        return {"kind": "delete", "at": self.rng.choice(WRITTEN)}

    def seq(self, depth: int) -> Any:
        count = self.rng.randint(2, 6)
        return {"kind": "seq", "children": [self.node(depth) for _ in range(count)]}

    def branch(self, depth: int) -> Any:
        cond = lit(self.rng.random() < 0.5)
        then, other = self.node(depth), self.node(depth)
        return {"kind": "branch", "cond": cond, "then": then, "else": other}

    def loop(self, depth: int) -> Any:
        """A loop whose body begins with a step that gets what the cond was, or a part."""
        cond = at(self.rng.choice(PATHS)) if self.rng.random() < 0.7 else lit(True)
        self.steps += 1
        first = {"kind": "step", "ref": f"s{self.steps}", "in": cond, "out": at("$.d")}
        body = self.seq(depth)
        body["children"].insert(0, first)
        made: Any = {"kind": "loop", "counter": at("$.n"), "cond": cond, "body": body}
        made["max"] = self.rng.randint(1, 3)
        return {"kind": "try", "body": made, "catch": NOTHING}

    def fanout(self, depth: int) -> Any:
        made: Any = {"kind": "fanout", "items": self.expr(1), "bind": at("$.c")}
        made |= {"body": self.node(depth), "out": at(self.rng.choice(WRITTEN))}
        made["join"] = self.rng.choice(["all", "any", "all_settled", "race"])
        if self.rng.random() < 0.8:
            made["select"] = self.expr(1)
        return {"kind": "try", "body": made, "catch": NOTHING}

    def attempt(self, depth: int) -> Any:
        made: Any = {"kind": "try", "body": self.seq(depth), "catch": self.node(depth)}
        if self.rng.random() < 0.5:
            made |= {"err_at": at("$.a"), "err_as": self.rng.choice(["text", "object"])}
        return made


def fits(value: Any, shape: Shape) -> bool:
    """Return whether a value may have a shape."""
    if type_name(value) not in shape.types:
        return False
    if isinstance(value, list) and shape.items is not None:
        return all(fits(item, shape.items) for item in value)
    if isinstance(value, dict):
        return all(
            fits(part, shape.keys[key]) if key in shape.keys else shape.open
            for key, part in value.items()
        )
    return True


def seen_in(
    flow: Any, given: Any, answers: Mapping[str, Shape], rng: random.Random
) -> list[tuple[str, Any]]:
    """Return the ref and the input of each step that was reached in some runs."""
    seen: list[tuple[str, Any]] = []

    def dispatch(ref: str, value: Any) -> Any:
        seen.append((ref, value))
        return rng.choice([one for one in VALUES if fits(one, answers.get(ref, ANY))])

    for _ in range(3):
        with contextlib.suppress(FlowError):
            evaluate(read_node(flow, "swarm"), given, dispatch)
    return seen


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2, 3))]
)
def test_what_a_run_reads_was_held_for_possible(part: int) -> None:
    told = reached = conds = 0
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        rng = random.Random(seed)
        flow = read_node(Maker(rng).seq(3), "swarm").to_json()
        given = {key: rng.choice(VALUES) for key in ("a", "b") if rng.random() < 0.5}
        steps = {s.node["ref"]: s for s in walk_nodes(flow) if s.kind == "step"}
        answers = {
            ref: either(*map(shape_of_value, rng.sample(VALUES, 2)))
            for ref in steps
            if rng.random() < 0.5
        }
        shapes = find_shapes(Spot("$.flow", flow), given, None, answers)
        absent = {
            place: one
            for place, one in shapes.absences.items()
            if not one.shape.open or not one.known
        }
        told += len(absent)
        for ref, value in seen_in(flow, given, answers, rng):
            reached += 1
            place = steps[ref].place
            assert fits(value, shapes.inputs[place]), (seed, place, value)
            loop = place.removesuffix(".body.children[0]")
            if loop in shapes.conds and steps[ref].node["out"] == at("$.d"):
                conds += shapes.conds[loop].is_known
                assert fits(value, shapes.conds[loop]), (seed, place, value)
            for read in absent:
                inside = read.startswith(f"{place}.in") and ".arg" not in read
                assert not inside, (seed, read, flow)
    # All happen often, so that the test could fail.
    assert told > 50
    assert reached > 300
    assert conds > 20
