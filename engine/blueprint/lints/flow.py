"""Flow: nodes that fail, never run or never end, or do too much at once."""

from collections.abc import Collection, Iterable, Iterator

from engine.blueprint.analysis.flow_walk import (
    UNKNOWN,
    Spot,
    constant_of,
    is_at_or_below,
    is_empty,
    keys_of,
    lasting_writes,
    outside_lanes,
    paths_in,
    show_keys,
    walk_expr,
)
from engine.blueprint.analysis.shapes import Shape, types_text
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import Element, Finding, Level, Suggestion
from engine.blueprint.lints.lint_kind import lint
from engine.blueprint.program import merge_init_ctx
from engine.flow import dump_compact
from engine.flow.grammar import COLLECTING
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean, listed


@lint(
    "correctness",
    Level.WARN,
    "StrategyLint",
    error_if=lambda view: view.blueprint.strategy.strict_refs,
)
def unresolved_agent_ref(view: View) -> Iterator[Finding]:
    """A step's `ref` is not the name of an agent.

    With `strategy.strict_refs: false` this is a warning, and the step fails when it is
    reached.
    """
    names = [one.agent.name for one in view.runnable]
    known = set(names)
    # Agents of a kind that can't run are named as well: another finding reports them.
    others = names or list(view.agents)
    for place, ref in view.refs:
        if ref not in view.agents:
            yield unknown_agent(place, ref, others)
        elif ref not in known and not view.blueprint.strategy.strict_kind:
            yield Finding(
                place,
                f"step names the agent {ref!r}, which was dropped for its kind",
                f"see {view.agents[ref].place}.kind",
                (f"defined: {listed(others)}",),
                element=Element("Step", ref),
            )


def unknown_agent(place: str, ref: str, names: Collection[str]) -> Finding:
    """Return the finding about a step that names none of the agents."""
    return Finding(
        place,
        f"step names the agent {ref!r}, which does not exist",
        did_you_mean(ref, names) or "the Blueprint has no agents",
        (f"defined: {listed(names)}",),
        element=Element("Step", ref),
    )


@lint("correctness", Level.WARN, "FlowLint")
def write_target_is_no_path(view: View) -> Iterator[Finding]:
    """`out`, `bind`, `counter`, `err_at` or `at` is an expression other than `path`.

    The language accepts it, and the node fails when it is reached, a step only after its
    agent has worked.
    """
    is_swarm = view.blueprint.dialect == "swarm"
    path = "'$.x'" if is_swarm else '{"op": "path", "at": "$.x"}'
    for spot in view.spots:
        for place, target in spot.targets:
            if target["op"] != "path":
                message = f"'{target['op']}' can't be written to: this will fail"
                if spot.kind == "step":
                    message += ", and only after the agent has worked"
                yield Finding(place, message, f"write {path}")


@lint("correctness", Level.WARN, "FlowLint")
def branch_cond_not_boolean(view: View) -> Iterator[Finding]:
    """The `cond` of a branch gives a number, string, array or object, or null.

    A loop takes any value, a branch only a boolean: it fails when it is reached. What a
    path has is known where the flow wrote it, or where `default_init_ctx` gives it and
    nothing has written it yet. What an agent answers is known by its verdict contract, or
    by the annotation of its function's result: `blueprint doctor` and `run`, which import
    the functions, look at it.
    """
    for place, shape in _conds(view, "branch"):
        if "boolean" not in shape.types:
            yield Finding(
                place,
                f"a branch needs true or false, and this is {types_text(shape)}: it will"
                " fail",
                "compare it with a value, or ask with exists(…) whether it is there",
            )


@lint("suspicious", Level.WARN, "FlowLint")
def loop_cond_not_boolean(view: View) -> Iterator[Finding]:
    """The `cond` of a loop gives a number, string, array or object, which is never false.

    Only null and false end a loop; 0, an empty string and an empty array do not. The
    loop always runs to its `max`. What is known of a path is as for a branch, both before
    the first round and after the body.
    """
    for place, shape in _conds(view, "loop"):
        if shape.types.isdisjoint(("boolean", "null")):
            yield Finding(
                place,
                f"only null and false end a loop, and this is {types_text(shape)}: it"
                " always runs to its max",
                "compare it with a value, as in length($.rows) > 0",
            )


def _conds(view: View, kind: str) -> Iterator[tuple[str, Shape]]:
    """Yield the place and the shape of each `cond` that is known not to be anything."""
    for spot in view.spots:
        if spot.kind == kind and (shape := view.shapes.conds[spot.place]).is_known:
            yield f"{spot.place}.cond", shape


@lint("correctness", Level.WARN, "FlowLint")
def unregistered_extern(view: View) -> Iterator[Finding]:
    """An expression calls a function that isn't registered.

    This version can't register functions, so the lint finds each `call_extern`; `run`,
    `runs resume` and `blueprint doctor` refuse it as an error, since it would fail when
    it is reached.
    """
    return find_unregistered(view.spots, view.options.externs)


def find_unregistered(
    spots: Iterable[Spot], known: Collection[str]
) -> Iterator[Finding]:
    """Yield a finding for each call_extern of a function that is not `known`."""
    for spot in spots:
        for at, part in spot.parts:
            if part["op"] == "call_extern" and part["ref"] not in known:
                message = f"no function {part['ref']!r} is registered here"
                hint = did_you_mean(part["ref"], known) or "this will fail"
                yield Finding(f"{at}.ref", message, hint)


@lint("suspicious", Level.WARN, "FlowLint")
def unreachable_node(view: View) -> Iterator[Finding]:
    """A constant keeps an arm or body from ever running.

    A reader would think that it does something.
    """
    for spot in view.spots:
        arm, why = _unreachable_arm(spot)
        if arm and not is_empty(spot.node[arm]):
            place = f"{spot.place}.{arm}"
            yield Finding(
                place, f"never runs: {why}", "drop it, or change what decides"
            )


def _unreachable_arm(spot: Spot) -> tuple[str, str]:
    """Return the arm of a node that never runs and the reason, two empty texts if none."""
    match spot.kind:
        case "branch":
            value = constant_of(spot.node["cond"])
            if isinstance(value, bool):
                word = "true" if value else "false"
                return ("else" if value else "then"), f"the cond is always {word}"
        case "loop":
            if spot.node["max"] == 0:
                return "body", "max is 0"
            value = constant_of(spot.node["cond"])
            if value is None or value is False:
                return "body", "the cond is always false"
        case "fanout":
            if constant_of(spot.node["items"]) == []:
                return "body", "there are no items"
    return "", ""


@lint("suspicious", Level.WARN, "FlowLint")
def loop_without_exit(view: View) -> Iterator[Finding]:
    """Nothing in a loop writes a path that its `cond` reads, and `max` is more than 1.

    Once begun, the loop always runs to its `max`. Writes in the lanes of a fanout stay
    in the lanes.
    """
    for spot in view.spots:
        if spot.kind != "loop" or spot.node["max"] < 2:
            continue
        place, cond = f"{spot.place}.cond", spot.node["cond"]
        if any(part["op"] == "call_extern" for _, part in walk_expr(place, cond)):
            continue
        if _unreachable_arm(spot)[0]:
            # The lint unreachable-node reports the body.
            continue
        read = {one.keys for one in paths_in(place, cond)}
        written = set(lasting_writes(spot))
        written.update(keys for one in outside_lanes(spot) for _, keys in one.deletes)
        if not (
            any(is_at_or_below(keys, written) for keys in read)
            or any(is_at_or_below(keys, read) for keys in written)
        ):
            yield Finding(
                place,
                f"nothing in the loop changes its cond: it always runs {spot.node['max']}"
                " times or never",
                "write one of the paths the cond reads, or compare the counter",
            )


@lint("suspicious", Level.WARN, "FlowLint")
def fanout_unbounded(view: View) -> Iterator[Finding]:
    """A fanout over an unknown number of items has agents that nothing bounds.

    These are operators and language models. They need no worker while they work, so the
    fleet doesn't bound them.
    """
    for spot in view.spots:
        if spot.kind != "fanout" or spot.node.get("max_parallel") is not None:
            continue
        if constant_of(spot.node["items"]) is not UNKNOWN:
            continue
        for step in spot.walk():
            ref = step.node.get("ref", "")
            one = view.agents.get(ref)
            if one is None or one.rules.holds_worker or view.policies[ref].limit:
                continue
            yield Finding(
                f"{spot.place}.items",
                f"as many {ref!r} work at once as there are items",
                "give the agent a limit; dialect 'swarm' also has fanout.max_parallel",
            )
            break


@lint("style", Level.INFO, "FlowLint")
def fanout_collects_documents(view: View) -> Iterator[Finding]:
    """A fanout with join `all` or `all_settled` has no `select`.

    `flow.ir` has none, and the dialect `swarm` requires it. Each item of the result is a
    copy of the whole Ctx of its lane.
    """
    for spot in view.spots:
        if spot.kind != "fanout" or spot.node["join"] not in COLLECTING:
            continue
        if spot.node.get("select") is not None or is_empty(spot.node["body"]):
            continue
        # The last path that a lane writes is most likely its result.
        lane = spot.children[0].walk()
        written = [keys for one in lane for _, keys in one.writes] or [()]
        select = dump_compact(show_keys(written[-1]))
        yield Finding(
            spot.place,
            "each item of the result is a copy of the whole document",
            "dialect 'swarm' has fanout.select, which collects one value a lane",
            suggestion=Suggestion("with dialect swarm", f'"select": {select}'),
        )


@lint("suspicious", Level.WARN, "FlowLint")
def result_too_large(view: View) -> Iterator[Finding]:
    """A fanout collects so many whole documents that a run could not show its result.

    The size is estimated: the number of known items times the size of the Ctx that the
    document, or the `--ctx` of the lint, gives. It is compared with `SWARM_INPUT_LIMIT`
    (32 MiB by default). Such a run ends `done`, and `run` exits with 1.
    """
    given = merge_init_ctx(view.blueprint.default_init_ctx, view.options.launch)
    size = len(dump_compact(given).encode())
    large = [
        (spot, lanes)
        for spot in view.spots
        if (lanes := _whole_documents(spot, given)) * size > view.options.result_bytes
    ]
    changed = [
        (spot, keys)
        for spot in (view.spots if large else ())
        for _, keys in (*spot.writes, *spot.deletes)
    ]
    for spot, lanes in large:
        outs = {keys for place, keys in spot.writes if place.endswith(".out")}
        if any(
            other is not spot and is_at_or_below(out, [keys])
            for out in outs
            for other, keys in changed
        ):
            # Something else replaces or removes what is collected.
            continue
        mib = lanes * size / (1 << 20)
        yield Finding(
            spot.place,
            f"{lanes} lanes collect whole documents of {size} bytes, about {mib:.0f} MiB:"
            " the final Ctx would be too large to be shown",
            "collect one value a lane with fanout.select (dialect 'swarm'), or remove what"
            " no later node reads with a delete",
        )


def _whole_documents(spot: Spot, given: Json) -> int:
    """Return how many whole documents a fanout outside of lanes surely collects."""
    if spot.kind != "fanout" or spot.node["join"] not in COLLECTING:
        return 0
    select = spot.node.get("select") or {"op": "path", "at": "$"}
    in_lane = any(one.kind == "fanout" for one in spot.ancestors() if one is not spot)
    if in_lane or select["op"] != "path" or keys_of(select["at"]):
        return 0
    items = constant_of(spot.node["items"])
    if items is UNKNOWN and spot.node["items"]["op"] == "path":
        items = given
        for key in keys_of(spot.node["items"]["at"]):
            items = items.get(key) if isinstance(items, dict) else None
    return len(items) if isinstance(items, list) else 0


@lint("suspicious", Level.WARN, "FlowLint")
def missing_timeout(view: View) -> Iterator[Finding]:
    """An operator or subprocess agent has no `timeout`.

    Its time depends on people or other programs; the default of 600 s rarely fits.
    """
    for one in view.runnable:
        name = one.agent.name
        if one.rules.needs_timeout and view.policies[name].timeout is None:
            yield Finding(
                one.place,
                f"{one.kind} agent {name!r} has no timeout",
                "give the agent the time of an attempt",
                suggestion=Suggestion(
                    "for example", '"timeout": "5m"', "HasPlaceholders"
                ),
                element=one.element,
            )
