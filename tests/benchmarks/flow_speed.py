"""Time per node of the sequential interpreter at two sizes, and how it grows.

Run with `python -m tests.benchmarks.flow_speed [SMALL LARGE]`; nothing is asserted.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from engine.flow import evaluate, parse_node

SIZES = (1000, 8000)
ROUNDS = 7

Json = Any


def path(at: str) -> Json:
    """Returns a path expression."""
    return {"op": "path", "at": at}


def lit(value: Json) -> Json:
    """Returns a literal."""
    return {"op": "lit", "value": value}


def plus_one(at: str) -> Json:
    """Returns the expression of a counter plus one."""
    return {"op": "add", "lhs": path(at), "rhs": lit(1)}


def lets_on_one_key(size: int) -> tuple[Json, Json]:
    """Returns a program of `size` lets on one key, and its context."""
    let = {"kind": "let", "at": "$.n", "value": plus_one("$.n")}
    return {"kind": "seq", "children": [let] * size}, {"n": 0}


def lets_on_distinct_keys(size: int) -> tuple[Json, Json]:
    """Returns a program of `size` lets on as many keys, and its context."""
    lets = [
        {"kind": "let", "at": f"$.k{n}", "value": plus_one("$.n")} for n in range(size)
    ]
    return {"kind": "seq", "children": lets}, {"n": 0}


def loop_with_let(size: int) -> tuple[Json, Json]:
    """Returns a loop of `size` iterations with a let as its body."""
    never = {"op": "eq", "lhs": path("$.never"), "rhs": lit(False)}
    body = {"kind": "let", "at": "$.acc", "value": plus_one("$.acc")}
    node = {"kind": "loop", "counter": path("$.c"), "cond": never, "body": body}
    return {**node, "max": size}, {"never": False, "acc": 0}


def fanout(items: Json, join: str = "all") -> Json:
    """Returns a fanout over an items expression with an echo step."""
    step = {"kind": "step", "ref": "echo", "in": path("$.i"), "out": path("$.r")}
    node = {"kind": "fanout", "items": items, "bind": path("$.i"), "body": step}
    return {**node, "join": join, "out": path("$.o")}


def fanout_of_literal(size: int) -> tuple[Json, Json]:
    """Returns a fanout over a literal of `size` numbers."""
    return fanout(lit(list(range(size)))), {"k": 0}


def fanout_all_settled(size: int) -> tuple[Json, Json]:
    """Returns a fanout with the join `all_settled`."""
    return fanout(lit(list(range(size))), "all_settled"), {"k": 0}


def fanout_of_context(size: int) -> tuple[Json, Json]:
    """Returns a fanout over items that stand in the context."""
    return fanout(path("$.items")), {"items": list(range(size))}


def fanout_of_objects(size: int) -> tuple[Json, Json]:
    """Returns a fanout over objects that stand in the context."""
    return fanout(path("$.items")), {"items": [{"id": n} for n in range(size)]}


SHAPES: tuple[Callable[[int], tuple[Json, Json]], ...] = (
    lets_on_one_key,
    lets_on_distinct_keys,
    loop_with_let,
    fanout_of_literal,
    fanout_all_settled,
    fanout_of_context,
    fanout_of_objects,
)


def echo(ref: str, value: Json) -> Json:
    """Answers every step with its input."""
    return value


def microseconds_per_node(shape: Callable[[int], tuple[Json, Json]], n: int) -> float:
    """Returns the best time of a few rounds, divided by `n`."""
    program, ctx = shape(n)
    node = parse_node(program)
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        evaluate(node, ctx, echo)
        best = min(best, time.perf_counter() - started)
    return best / n * 1e6


def main() -> None:
    """Prints one line a shape: microseconds a node at both sizes, and their ratio."""
    small, large = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else SIZES
    out = sys.stdout
    out.write(f"{'shape':<24}{small:>8}{large:>8}   ratio\n")
    for shape in SHAPES:
        low, high = (microseconds_per_node(shape, n) for n in (small, large))
        out.write(f"{shape.__name__:<24}{low:8.2f}{high:8.2f}{high / low:8.2f}\n")


if __name__ == "__main__":
    main()
