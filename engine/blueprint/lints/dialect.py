"""Dialect: flows that are shorter or safer in dialect 'swarm', and the DSL's warnings."""

from collections.abc import Iterable, Iterator
from typing import Final

from engine.blueprint.analysis.flow_walk import (
    Keys,
    Spot,
    is_empty,
    keys_of,
    parts_of,
    show_keys,
    walk_expr,
)
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import ROOT, Finding, Level
from engine.blueprint.lints.lint_kind import lint
from engine.blueprint.program import merge_init_ctx
from engine.flow.json_text import Json

COMPARISONS: Final = ("eq", "ne", "lt", "lte", "gt", "gte")


@lint("style", Level.INFO, "DialectLint")
def dialect_default(view: View) -> Iterator[Finding]:
    """A branch on `exists` only fills a value in.

    The dialect `swarm` has `default` for it.
    """
    for spot in view.spots:
        if spot.kind != "branch":
            continue
        cond, absent, present = spot.node["cond"], "else", "then"
        if cond["op"] == "not":
            cond, absent, present = cond["arg"], "then", "else"
        if cond["op"] != "exists" or cond["arg"]["op"] != "path":
            continue
        keys = keys_of(cond["arg"]["at"])
        arms = {child.arm: child for child in spot.children}
        target, _ = _assigned(arms[absent])
        if target is None:
            continue
        fills = is_empty(arms[present].node) and target == keys
        if fills or _assigned(arms[present]) == (target, keys):
            path = show_keys(keys)
            yield Finding(
                spot.place,
                f"the branch only gives {path} a value where it has none",
                f"dialect 'swarm' has default({path}, …)",
            )


def _assigned(spot: Spot) -> tuple[Keys | None, Keys | None]:
    """Return the path that an arm of one assign writes to, and the path it copies."""
    while spot.kind == "seq" and len(spot.node["children"]) == 1:
        spot = spot.children[0]
    if spot.kind not in ("assign", "let"):
        return None, None
    value = spot.node["value"]
    copied = keys_of(value["at"]) if value["op"] == "path" else None
    return next((keys for _, keys in spot.writes), None), copied


@lint("style", Level.INFO, "DialectLint")
def dialect_array_ops(view: View) -> Iterator[Finding]:
    """A fanout has no step in its lanes: it only computes.

    The dialect `swarm` has `map`, `filter`, `any` and `all` over an array, which copy
    nothing.
    """
    for spot in view.spots:
        if spot.kind != "fanout" or is_empty(spot.node["body"]):
            continue
        if all(one.kind != "step" for one in spot.walk()):
            yield Finding(
                spot.place,
                "the lanes only compute: no agent works in them",
                "dialect 'swarm' has the expressions map, filter, any and all over"
                " an array",
            )


@lint("suspicious", Level.WARN, "DialectLint")
def dialect_index_path(view: View) -> Iterator[Finding]:
    """A node reads a path with a number as a segment.

    It is the key of an object, never an index. A key that `default_init_ctx` or the
    `--ctx` of the lint has is fine. The dialect `swarm` has `[0]` and `[-1]`.
    """
    given = merge_init_ctx(view.blueprint.default_init_ctx, view.options.launch)
    for spot in view.spots:
        for read in spot.path_reads:
            number = _number(read.keys, given)
            if number is not None:
                yield Finding(
                    f"{read.place}.at",
                    f"{number!r} in {show_keys(read.keys)} is the key of an object, not"
                    " the index of an array",
                    f"dialect 'swarm' has [{number}] and [-1]; flow.ir can't index",
                )


def _number(keys: Keys, given: Json) -> str | None:
    """Return the first key that is a number and is no key of the given Ctx."""
    for key in keys:
        here = given if isinstance(given, dict) else {}
        if isinstance(key, str) and key.isdecimal() and key not in here:
            return key
        given = here.get(key)
    return None


@lint("style", Level.INFO, "DialectLint")
def dialect_on_max(view: View) -> Iterator[Finding]:
    """A branch after a loop compares the counter with the loop's `max`.

    The dialect `swarm` has `on_max: "fail"`, which fails only if the condition still
    holds after the last round.
    """
    for spot in view.spots:
        limits: dict[Keys, int] = {}
        for child in spot.children if spot.kind == "seq" else ():
            if child.kind == "loop" and child.node["counter"]["op"] == "path":
                counter = keys_of(child.node["counter"]["at"])
                limits[counter] = child.node["max"]
            elif child.kind == "branch" and limits:
                yield from _check_counter(child, limits)


def _check_counter(branch: Spot, limits: dict[Keys, int]) -> Iterator[Finding]:
    for at, part in walk_expr(f"{branch.place}.cond", branch.node["cond"]):
        if part["op"] not in COMPARISONS:
            continue
        sides = {part[side]["op"]: part[side] for side in ("lhs", "rhs")}
        if sides.keys() != {"path", "lit"}:
            continue
        limit = limits.get(keys_of(sides["path"]["at"]))
        if limit is not None and sides["lit"]["value"] == limit:
            yield Finding(
                at,
                "the cond checks whether the loop ran out of rounds",
                "dialect 'swarm' has loop.on_max: 'fail' makes that an error",
            )


@lint("style", Level.INFO, "DialectLint")
def dialect_err_as(view: View) -> Iterator[Finding]:
    """A condition compares the text of a caught error.

    Texts are for people. The dialect `swarm` has `err_as: "object"` with a `kind`.
    """
    errors = {
        keys_of(target["at"])
        for spot in view.spots
        if spot.kind == "try" and spot.node.get("err_as", "text") == "text"
        for _, target in spot.targets
        if target["op"] == "path"
    }
    for spot in view.spots if errors else ():
        for at, part in spot.parts:
            if part["op"] in (*COMPARISONS, "in") and any(
                side["op"] == "path" and keys_of(side["at"]) in errors
                for _, side in parts_of(at, part)
            ):
                yield Finding(
                    at,
                    "the text of an error is for people; its wording may change",
                    "dialect 'swarm' has try.err_as: 'object' gives kind and ref",
                )


@lint("style", Level.INFO, "DialectLint")
def dialect_max_parallel(view: View) -> Iterator[Finding]:
    """A loop gives a fanout one batch after the other.

    The dialect `swarm` has `fanout.max_parallel`, which doesn't wait for the slowest of
    each batch.
    """
    for spot in view.spots:
        if spot.kind != "loop":
            continue
        inside = spot.children
        if inside[0].kind == "seq":
            inside = inside[0].children
        written = {
            keys
            for one in inside
            if one.kind in ("step", "assign", "let")
            for _, keys in one.writes
        }
        for one in inside:
            items = one.node["items"] if one.kind == "fanout" else {"op": ""}
            if items["op"] == "path" and keys_of(items["at"]) in written:
                yield Finding(
                    one.place,
                    "the loop feeds this fanout batch by batch",
                    "dialect 'swarm' has fanout.max_parallel, which keeps lanes busy",
                )


@lint("suspicious", Level.WARN, "DslLint")
def dsl_warning(view: View) -> Iterator[Finding]:
    """The Lua DSL warns about the script that made the Blueprint.

    The script has a `halt_on` without any gate, or a gate on a fanout
    ([the Lua DSL](guides/the-lua-dsl.md)), which has no effect. The message names the
    line.
    """
    return dsl_warning_findings(view.options.dsl_warnings)


def dsl_warning_findings(warnings: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each warning of the DSL."""
    return (Finding("$", warning, element=ROOT) for warning in warnings)
