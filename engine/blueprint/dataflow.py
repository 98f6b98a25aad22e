"""Which steps' answers can reach a condition: reaching definitions over the flow.

The order of effects is the interpreter's. Passes over the flow are repeated until what
loops carry back has stopped growing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from engine.blueprint.flow_walk import (
    Keys,
    Spot,
    children_of,
    is_empty,
    keys_of,
    targets_of,
    walk_nodes,
)
from engine.flow.json_text import Json

VERDICT: Final[Keys] = ("parts", "verdict")

# From the keys of an `out` path to the refs of the steps that may have written it, in
# groups by the first key. The groups are never changed, the state itself is.
Group: TypeAlias = dict[Keys, frozenset[str]]
State: TypeAlias = dict[str | int | None, Group]

NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of a step's answer with texts, inside a condition.

    `producers` are the refs whose answer may stand there, `place` is the comparison's
    and `literal` that of the value. A `skip` test guards work that is left out.
    """

    spot: Spot
    place: str
    literal: str
    channel: Literal["body", "part"]
    producers: frozenset[str]
    values: tuple[Json, ...]
    skip: bool

    @property
    def where(self) -> str:
        """The sort of condition, for messages."""
        return "Branch cond" if self.spot.kind == "branch" else "Loop cond"


def find_tests(root: Spot) -> list[Test]:
    """Returns every test of a step's answer in a flow, in the order of the walk."""
    walker = _Walker(root)
    while walker.grown:
        walker.grown = False
        walker.run(root, {})
    return list(walker.tests.values())


class _Walker:
    """Carries what reaches each node through the flow, once a pass."""

    def __init__(self, root: Spot) -> None:
        self.tests: dict[str, Test] = {}
        self.grown = True
        self._back: dict[str, State] = {}
        self._written = 0
        self._below = _asked_for(root)

    def run(self, spot: Spot, state: State) -> State:
        """Returns what holds after a node; `state` is the node's own to change."""
        node = spot.node
        match spot.kind:
            case "step":
                self._write(state, node["out"], frozenset({node["ref"]}))
                return state
            case "assign" | "let":
                for _, target in targets_of(spot):
                    self._write(state, target, NOBODY)
                return state
            case "seq":
                for child in children_of(spot):
                    state = self.run(child, state)
                return state
        below = {child.arm: child for child in children_of(spot)}
        match spot.kind:
            case "branch":
                return self._branch(spot, below, state)
            case "loop":
                return self._loop(spot, below["body"], state)
            case "fanout":
                inner = state.copy()
                self._write(inner, node["bind"], NOBODY)
                self.run(below["body"], inner)
                self._write(state, node["out"], NOBODY)
                return state
            case _:
                body = self.run(below["body"], state.copy())
                if node.get("err_at") is not None:
                    self._write(state, node["err_at"], NOBODY)
                _merge(body, self.run(below["catch"], state))
                return body

    def _branch(self, spot: Spot, below: Mapping[str, Spot], state: State) -> State:
        self._cond(spot, state)
        before = self._written
        then = self.run(below["then"], state.copy())
        other = self.run(below["else"], state)
        if self._written != before:
            _merge(other, then)
        return other

    def _loop(self, spot: Spot, body: Spot, state: State) -> State:
        self._write(state, spot.node["counter"], NOBODY)
        back = self._back.setdefault(spot.place, {})
        _merge(state, back)
        self._cond(spot, state)
        if _merge(back, self.run(body, state.copy())):
            self.grown = True
        return state

    def _write(self, state: State, target: Json, by: frozenset[str]) -> None:
        if target["op"] != "path":
            return
        keys = keys_of(target["at"])
        gone = self._below.get(keys)
        if gone is None:
            # No condition asks for anything at or below this path.
            return
        self._written += 1
        if not keys:
            state.clear()
        first = keys[0] if keys else None
        group = dict(state.get(first, {}))
        for at in gone:
            group.pop(at, None)
        if by:
            group[keys] = by
        state[first] = group

    def _cond(self, spot: Spot, state: State) -> None:
        skip = spot.kind == "branch" and is_empty(spot.node["then"])
        for place, literal, path, values in _comparisons(
            f"{spot.place}.cond", spot.node["cond"]
        ):
            channel: Literal["body", "part"] = "body"
            producers = _producers(state, path)
            if not producers and path[-2:] == VERDICT:
                channel, producers = "part", _producers(state, path[:-2])
            if producers or path[-2:] == VERDICT:
                self.tests[place] = Test(
                    spot, place, literal, channel, producers, values, skip
                )


def _comparisons(
    place: str, cond: Json
) -> Iterator[tuple[str, str, Keys, tuple[Json, ...]]]:
    """Yields place, place of the literal, path and values of each comparison."""
    match cond["op"]:
        case "and" | "or":
            for number, arg in enumerate(cond["args"]):
                yield from _comparisons(f"{place}.args[{number}]", arg)
        case "not":
            yield from _comparisons(f"{place}.arg", cond["arg"])
        case "eq" | "ne":
            sides = {cond[side]["op"]: side for side in ("lhs", "rhs")}
            if sides.keys() == {"path", "lit"}:
                path, literal = cond[sides["path"]], cond[sides["lit"]]
                at = f"{place}.{sides['lit']}.value"
                yield place, at, keys_of(path["at"]), (literal["value"],)
        case "in":
            needle, haystack = cond["needle"], cond["haystack"]
            if needle["op"] == "path" and haystack["op"] == "lit":
                values = haystack["value"]
                if isinstance(values, list):
                    at = f"{place}.haystack.value"
                    yield place, at, keys_of(needle["at"]), tuple(values)


def _asked_for(root: Spot) -> Mapping[Keys, list[Keys]]:
    """Returns the answers that conditions look at, by each path that writes over them.

    Only those are carried along. A path below an answer writes over its verdict.
    """
    below: dict[Keys, list[Keys]] = {}
    seen: set[Keys] = set()
    for spot in walk_nodes(root.node):
        if spot.kind not in ("branch", "loop"):
            continue
        for _, _, path, _ in _comparisons("$", spot.node["cond"]):
            for answer in {path, path[:-2]} if path[-2:] == VERDICT else {path}:
                if answer in seen:
                    continue
                seen.add(answer)
                for size in range(len(answer) + 1):
                    below.setdefault(answer[:size], []).append(answer)
                below.setdefault((*answer, VERDICT[0]), []).append(answer)
                below.setdefault((*answer, *VERDICT), []).append(answer)
    return below


def _producers(state: State, path: Keys) -> frozenset[str]:
    return state.get(path[0] if path else None, {}).get(path, NOBODY)


def _merge(into: State, other: State) -> bool:
    """Adds what holds elsewhere; tells whether there was anything new."""
    grown = False
    for first, group in other.items():
        known = into.get(first, {})
        if known is group:
            continue
        merged = dict(known)
        for keys, refs in group.items():
            merged[keys] = merged.get(keys, NOBODY) | refs
        if merged != known:
            into[first] = merged
            grown = True
    return grown


def referenced(tests: Iterable[Test]) -> dict[str, set[str]]:
    """Returns the texts that conditions name, by the ref of the step they come from."""
    named: dict[str, set[str]] = {}
    for test in tests:
        for ref in test.producers:
            texts = (value for value in test.values if isinstance(value, str))
            named.setdefault(ref, set()).update(texts)
    return named
